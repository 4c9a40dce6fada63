"""The classifier checkpoint: tensors and plain values, so that loading it never executes code.

A checkpoint is a dict with `foveal_classifier` (the version of this layout), `architecture` (a
torchvision name), `class_names`, `image_size` (side in pixels), `fit` (how an image is brought to
that size), `mean` and `std` (of RGB values in 0–1), `state_dict` and `metrics`.
"""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from components.backends.neutral import neutral_copy
from components.backends.torch_pickle import entries_of
from components.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import torch

LAYOUT = 1
CLASSIFIER_KEY = "foveal_classifier"
# of ImageNet, which torchvision's weights expect
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TWO_OUTPUTS = {"googlenet", "inception_v3"}  # auxiliary classifiers while they train


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A classifier.

    Arguments:
        architecture: a name of torchvision.
        class_names: index is class id.
        image_size: side of the square input in pixels.
        network: with its weights.
        metrics: on the validation split, where they were measured.
    """

    architecture: str
    class_names: tuple[str, ...]
    image_size: int
    network: torch.nn.Module
    metrics: Mapping[str, float] = field(default_factory=dict)


def build_network(architecture: str, classes: int, image_size: int) -> torch.nn.Module:
    """A torchvision classifier with random weights, in evaluation mode.

    Raises:
        ConfigError: torchvision has no such classifier, or it does not take images of that size.
    """
    import torch
    from torchvision import models

    known = sorted(set(models.list_models(module=models)) - _TWO_OUTPUTS)
    if architecture not in known:
        close = difflib.get_close_matches(architecture, known)
        raise ConfigError(
            "a classifier of torchvision, such as resnet18",
            found=repr(architecture),
            hint=f"did you mean {' or '.join(close)}?" if close else "",
        )
    network: torch.nn.Module = models.get_model(
        architecture, weights=None, num_classes=classes
    ).eval()
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"an image size that {architecture} takes",
            found=f"{image_size} px: {reason}",
            hint="try 224",
        ) from error
    return network


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a network's weights and all that is needed to use them."""
    import torch

    contents = {
        CLASSIFIER_KEY: LAYOUT,
        "architecture": checkpoint.architecture,
        "class_names": list(checkpoint.class_names),
        "image_size": checkpoint.image_size,
        "fit": "stretch",
        "mean": list(MEAN),
        "std": list(STD),
        "state_dict": {
            name: tensor.cpu() for name, tensor in checkpoint.network.state_dict().items()
        },
        "metrics": dict(checkpoint.metrics),
    }
    torch.save(contents, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; its network is built, with its weights, in evaluation mode.

    Raises:
        ModelError: the file is missing, damaged, of another kind, or would grow on reading.
    """
    import torch

    expected, hint = "a classifier checkpoint that Foveal wrote", "train one with train_classifier"
    if not path.is_file():
        raise ModelError(expected, found=f"nothing at {path}", hint="check the path")
    entries_of(path)
    try:
        with neutral_copy(path, ".pt") as copy:
            contents = torch.load(copy, map_location="cpu", weights_only=True)
        if not isinstance(contents, dict) or contents.get(CLASSIFIER_KEY) != LAYOUT:
            raise ModelError(expected, found=f"another kind of file: {path}", hint=hint)
        names, architecture, image_size = (
            contents[key] for key in ("class_names", "architecture", "image_size")
        )
        network = build_network(architecture, len(names), image_size)
        network.load_state_dict(contents["state_dict"])
    except (
        pickle.UnpicklingError,
        RuntimeError,
        KeyError,
        EOFError,
        TypeError,
        ConfigError,
    ) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(expected, found=f"{path}: {reason}", hint=hint) from error
    return Checkpoint(architecture, tuple(names), image_size, network, contents.get("metrics", {}))
