"""The models of a pipeline: what may be opened, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.backends import BACKENDS, Session, describe_onnx, get_backend
from components.contracts import ModelArtifact, Variant
from components.datasets.classes import class_ids
from components.errors import ConfigError, IncompatibleError
from components.vision import VisionTask
from components.vision.combining.ensemble import Ensemble
from components.vision.heads import head_of

Model = Variant | ModelArtifact | Path | str


@dataclass(frozen=True, eq=False)
class Member:
    """One model of a pipeline.

    Arguments:
        session: the open model; the pipeline calls it from one thread at a time, and closes it.
        task: what its input and outputs mean.
        name: in results and messages.
    """

    session: Session
    task: VisionTask
    name: str = "model"


def variant_of(model: Model) -> Variant:
    """Return a model file as what is run: on the first backend that takes its format.

    Arguments:
        model: a file with its backend, an artifact, or the path of an ONNX file that Foveal wrote.

    Raises:
        ConfigError: it is something else.
        ModelError: the file is missing or damaged.
    """
    if isinstance(model, Variant):
        return model
    if isinstance(model, Path | str):
        if not is_model_file(model):
            raise ConfigError(
                "a Variant, an artifact or the path of an ONNX file",
                found=str(model),
                hint="open registered names and bundles with foveal.InferencePipeline",
            )
        model = describe_onnx(Path(model))
    backend = next(name for name in BACKENDS if model.format in get_backend(name).formats)
    return Variant(model.path.name, model, backend)


def is_model_file(model: Path | str) -> bool:
    """Tell whether a name is the path of an ONNX file."""
    return Path(model).suffix == ".onnx"


def joined_classes(members: Sequence[Member]) -> tuple[str, ...]:
    """Return the class names of all models: those of the first, then those that others add."""
    names = list(members[0].task.spec.class_names)
    for member in members[1:]:
        known = set(names)
        names += [name for name in member.task.spec.class_names if name not in known]
    return tuple(names)


def ids_of(members: Sequence[Member], class_names: tuple[str, ...]) -> list[list[int]]:
    """Return the pipeline's id of each class of each model, matched by name.

    Raises:
        IncompatibleError: a name comes twice, and models differ.
    """
    return [class_ids(member.task.spec.class_names, class_names) for member in members]


def ensemble_of(
    members: Sequence[Member], ids: Sequence[Sequence[int]], weights: Sequence[float] | None
) -> Ensemble:
    """Return the voters that models are.

    Arguments:
        members: the models.
        ids: see `ids_of`.
        weights: of the models; None weighs them alike.

    Raises:
        ConfigError: there are not as many weights as models.
    """
    if weights is not None and len(weights) != len(members):
        raise ConfigError(f"{len(members)} weights for as many models", found=str(len(weights)))
    known = np.zeros((len(members), 1 + max(map(max, ids))), bool)
    for row, own in zip(known, ids, strict=True):
        row[list(own)] = True
    values = np.ones(len(members)) if weights is None else np.array(weights, np.float64)
    return Ensemble(values, known, head_of(members[0].task.spec.head).exclusive)


def check_members(members: Sequence[Member]) -> None:
    """Refuse models that cannot be combined.

    Raises:
        ConfigError: there is none.
        IncompatibleError: they differ in task, have no class in common, or their scores mean
            different things.
    """
    if not members:
        raise ConfigError("at least one model", found="none")
    for number, other in enumerate(members[1:], 1):
        _check_pair(members[0], other)
        shared = set(joined_classes(members[:number])) & set(other.task.spec.class_names)
        if not shared:
            raise IncompatibleError(
                f"models that share class names, such as {members[0].task.spec.class_names[0]}",
                found=f"none of the others' in {other.name}",
                hint="combine models of the same things; names are compared letter by letter",
            )


def _check_pair(first: Member, other: Member) -> None:
    one, two = first.task.spec, other.task.spec
    if one.task != two.task:
        raise IncompatibleError(
            "models of one task type",
            found=f"{first.name} to {one.task} and {other.name} to {two.task}",
        )
    if head_of(one.head).exclusive != head_of(two.head).exclusive:
        raise IncompatibleError(
            "models whose scores mean the same, probabilities that sum to 1 or a sigmoid's of "
            "each class",
            found=f"{one.head} of {first.name} and {two.head} of {other.name}",
            hint="combine models of one kind",
        )
