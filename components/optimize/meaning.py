"""What a model from outside means: what its file says, what the user says, and what its outputs show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from components.backends.session import one_line
from components.contracts import Fit, Head, TaskType, VisionSpec
from components.errors import ModelError

Outputs = Sequence[npt.NDArray[Any]]
Network = Callable[[npt.NDArray[np.float32]], Outputs]  # (n, 3, height, width) float32 RGB → outputs


@dataclass(frozen=True)
class Normalisation:
    """How RGB values in 0–1 are shifted and scaled before the network: (value − mean) / std, per channel."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


UNIT = Normalisation()
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # torchvision's, and most classifiers'


@dataclass(frozen=True)
class Claims:
    """What somebody says about a model; None where nothing is said.

    Arguments:
        task: detect or classify.
        class_names: index is class id.
        input_size: (height, width) in pixels.
        fit: how images are brought to that size.
        normalisation: what the network expects of its input.
        resizable: the network takes other sizes than `input_size` as well.
    """

    task: TaskType | None = None
    class_names: tuple[str, ...] | None = None
    input_size: tuple[int, int] | None = None
    fit: Fit | None = None
    normalisation: Normalisation | None = None
    resizable: bool = True


def agree(user: Claims, file: Claims, name: str) -> Claims:
    """The user's word where it is given, else the file's.

    Raises:
        ModelError: they contradict each other in what cannot be chosen.
    """
    if user.task and file.task and user.task is not file.task:
        raise ModelError(f"a model for {user.task}", found=f"{name}, made for {file.task}", mend="correct the task")
    if user.class_names and file.class_names and len(user.class_names) != len(file.class_names):
        raise ModelError(
            f"{len(file.class_names)} class names, as {name} has",
            found=f"{len(user.class_names)}",
            mend="leave the class names out to use the model's own",
        )
    if user.input_size and not file.resizable and user.input_size != file.input_size:
        raise ModelError(
            f"the image size that {name} is fixed to, {file.input_size}",
            found=f"{user.input_size}",
            mend="export the model again at the size you want",
        )
    chosen = {
        field: getattr(user, field) or getattr(file, field)
        for field in ("task", "class_names", "input_size", "fit", "normalisation")
    }
    return replace(file, **chosen)


def settle(claims: Claims, network: Network, name: str) -> tuple[VisionSpec, Normalisation]:
    """Complete what is claimed by what the network's outputs show on a random image.

    Without a claim a rank-2 output is a classifier's and a rank-3 output a detector's; a classifier whose rows sum to
    one gives probabilities; its input is normalised as ImageNet's and its images are cropped in the centre.

    Raises:
        ModelError: something is missing, or the outputs are those of no head that Foveal reads.
    """
    if claims.input_size is None:
        raise ModelError("an image size", found=f"none in {name}", mend="pass image_size")
    height, width = claims.input_size
    normalisation = claims.normalisation
    noise = np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)
    try:
        prediction = network(noise)[0]
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{name} to run at {height} × {width} px", found=one_line(error), mend="give another image size"
        ) from error
    if (claims.task or _task_of(prediction)) is TaskType.DETECT:
        head, names = _detector(prediction, claims.class_names, name)
        return VisionSpec(TaskType.DETECT, names, claims.input_size, claims.fit or Fit.LETTERBOX, head), (
            normalisation or UNIT
        )
    head, names = _classifier(prediction, claims.class_names, name)
    return VisionSpec(TaskType.CLASSIFY, names, claims.input_size, claims.fit or Fit.CENTER_CROP, head), (
        normalisation or IMAGENET
    )


def _task_of(prediction: npt.NDArray[Any]) -> TaskType:
    return TaskType.DETECT if prediction.ndim == 3 else TaskType.CLASSIFY


def _detector(prediction: npt.NDArray[Any], names: tuple[str, ...] | None, name: str) -> tuple[Head, tuple[str, ...]]:
    """Which detection head gave this output."""
    shape = prediction.shape
    if len(shape) == 3 and names and shape[2] == 6:  # first: no input size gives 6 anchors, but k may be 4 + classes
        return Head.YOLO_END2END, names
    if len(shape) == 3 and names and shape[1] == 4 + len(names):
        return Head.YOLO, names
    if len(shape) == 3 and not names and 4 < shape[1] < shape[2]:
        return Head.YOLO, default_names(shape[1] - 4)
    raise ModelError(
        f"a detector's output, (n, 4 + {len(names) if names else 'classes'}, anchors) or (n, k, 6)",
        found=f"{shape} from {name}",
        mend="pass the class names it was trained with" if not names else "export a YOLOv8, 10, 11 or 26 detector",
    )


def _classifier(prediction: npt.NDArray[Any], names: tuple[str, ...] | None, name: str) -> tuple[Head, tuple[str, ...]]:
    """Which classification head gave this output."""
    classes = prediction.shape[-1]
    if prediction.ndim != 2 or (names and len(names) != classes):
        raise ModelError(
            f"a classifier's output, (n, {len(names) if names else 'classes'})",
            found=f"{prediction.shape} from {name}",
            mend="pass the class names it was trained with" if prediction.ndim == 2 else "",
        )
    sums_to_one = bool((prediction >= 0).all()) and abs(float(prediction.sum()) - 1) < 1e-2
    return Head.PROBABILITIES if sums_to_one else Head.LOGITS, names or default_names(classes)


def default_names(count: int) -> tuple[str, ...]:
    """class_0, class_1, … for a model that does not name its classes."""
    return tuple(f"class_{i}" for i in range(count))
