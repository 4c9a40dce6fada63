"""Meaning of a model from outside: what its file and the user say, and what its outputs show."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from components.backends.onnx_file import fits_shape, require_fit
from components.backends.session import translated
from components.contracts import Fit, Interpolation, Output, VisionSpec
from components.contracts.arrays import Array, Floats32, Outputs
from components.errors import ModelError
from components.optimize.outputs import settle_output
from components.vision import task_kind
from components.vision.heads import HEADS, head_of

Network = Callable[[Floats32], Outputs]  # (n, 3, height, width) float32 RGB → outputs
Probe = Callable[[], list[Array]]  # a network's first outputs for images that differ widely


@dataclass(frozen=True)
class Normalisation:
    """Shift and scale of RGB values, 0–1, before the network: (value − mean) / std, per channel."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


SCORE_SLACK = 0.01
# px; boxes all over an image end farther out than that, and shares of its sides do not
MAX_SHARE = 2.0
UNIT = Normalisation()
# 0–255, for networks that scale their input themselves
BYTES = Normalisation(std=(1 / 255, 1 / 255, 1 / 255))
# torchvision's, and most classifiers'
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # −1 to 1


Recognised = tuple[str, tuple[str, ...], Normalisation]  # head, class names, usual normalisation


@dataclass(frozen=True)
class Fitting:
    """Method of fitting an image to the input size, with its parameters.

    Arguments:
        method: letterbox, stretch or centre crop.
        resize: what an image is scaled to before its centre is cropped: its shorter side, or
            (height, width); None scales it to what just covers the input.
        interpolation: of a stretch or a crop.
        crop_share: of the shorter side, that the crop keeps, in place of `resize`; timm calls it
            crop_pct.
    """

    method: Fit = Fit.CENTER_CROP
    resize: int | tuple[int, int] | None = None
    interpolation: Interpolation = Interpolation.BILINEAR
    crop_share: float | None = None

    def resize_for(self, input_size: tuple[int, int]) -> int | tuple[int, int] | None:
        """Return the size that an image is scaled to before it is cropped to an input of that size.

        Raises:
            ModelError: a share of the shorter side is asked for, and the input is not square.
        """
        if self.crop_share is None:
            return self.resize
        if input_size[0] != input_size[1]:
            raise ModelError(
                "a square input for crop_pct", found=f"{input_size}", hint="give resize instead"
            )
        return math.floor(input_size[0] / self.crop_share)  # as timm rounds it


@dataclass(frozen=True)
class StatedMeaning:
    """Statements about a model by its user or its file; None where nothing is said.

    Arguments:
        task: its name in `TASKS`.
        class_names: index is class id.
        input_size: (height, width) in pixels.
        fit: how images are brought to that size.
        normalisation: what the network expects of its input.
        resizable: the network takes other sizes than `input_size` as well.
        stride: sides must be multiples of it.
        output: what a classifier's numbers are.
    """

    task: str | None = None
    class_names: tuple[str, ...] | None = None
    input_size: tuple[int, int] | None = None
    fit: Fitting | None = None
    normalisation: Normalisation | None = None
    resizable: bool = True
    stride: int = 1
    output: Output | None = None


def agree(user: StatedMeaning, file: StatedMeaning, name: str) -> StatedMeaning:
    """Merge the user's statements with the file's; the user's come first.

    Raises:
        ModelError: they contradict each other in what cannot be chosen.
    """
    if user.task and file.task and user.task != file.task:
        raise ModelError(
            f"a model for {user.task}",
            found=f"{name}, made for {file.task}",
            hint="correct the task",
        )
    names, own = user.class_names, file.class_names
    if names and own and names != own:
        hint = "leave the class names out to use the model's own"
        if len(names) != len(own):
            raise ModelError(
                f"{len(own)} class names, as {name} has", found=f"{len(names)}", hint=hint
            )
        if sorted(names) == sorted(own):
            expected = f"the class names of {name} in its own order, {', '.join(own)}"
            raise ModelError(expected, found=", ".join(names), hint=hint)
    if user.input_size and not file.resizable and user.input_size != file.input_size:
        raise ModelError(
            f"the image size that {name} is fixed to, {file.input_size}",
            found=f"{user.input_size}",
            hint="export the model again at the size you want",
        )
    if user.input_size and any(side % file.stride for side in user.input_size):
        fitting = [max(round(side / file.stride), 1) * file.stride for side in user.input_size]
        raise ModelError(
            f"an image size of multiples of {file.stride}, the stride of {name}",
            found=f"{list(user.input_size)}",
            hint=f"take {fitting} (height, width)",
        )
    if (
        user.output
        and file.output
        and user.output is not file.output
        and not _before_a_sigmoid(user, file)
    ):
        raise ModelError(
            f"output {file.output}, which the graph of {name} ends in",
            found=str(user.output),
            hint="leave output out, or say sigmoid_logits for scores that still need a sigmoid"
            if file.output is Output.LOGITS
            else "leave output out",
        )
    chosen = {
        field: getattr(user, field) or getattr(file, field)
        for field in ("task", "class_names", "input_size", "fit", "normalisation", "output")
    }
    return replace(file, **chosen)


def _before_a_sigmoid(user: StatedMeaning, file: StatedMeaning) -> bool:
    """Tell whether the user says that a graph's logits are those of a sigmoid.

    The graph cannot tell that.
    """
    return file.output is Output.LOGITS and user.output is Output.SIGMOID_LOGITS


def meaning_of(
    user: StatedMeaning, file: StatedMeaning, network: Network, name: str
) -> tuple[VisionSpec, Normalisation]:
    """Determine a model's meaning from the user's statements, the file's, and its outputs.

    Raises:
        ModelError: they contradict each other, or something is missing; see `agree` and `settle`.
    """
    spec, normalisation = settle(agree(user, file, name), network, name)
    if user.output and task_kind(spec.task).finds_objects:
        raise ModelError(
            "output for a classifier only",
            found=f"{user.output} for {name}, a detector",
            hint="leave output out",
        )
    return spec, normalisation


def settle(stated: StatedMeaning, network: Network, name: str) -> tuple[VisionSpec, Normalisation]:
    """Complete what is claimed by what the network's outputs show on a random image.

    Without a claim a rank-2 output is a classifier's and a rank-3 output a detector's; what a
    classifier's numbers are is seen as in `settle_output`; its input is normalised as ImageNet's
    and its images are cropped in the centre. For any other task the shape of the output tells which
    of its heads it is.

    Raises:
        ModelError: something is missing, or the outputs are those of no head that Foveal reads.
    """
    if stated.input_size is None:
        raise ModelError("an image size", found=f"none in {name}", hint="pass image_size")
    prediction = _first_output(network, stated.input_size, name)
    plain = partial(_plain_outputs, network, *stated.input_size)
    task = stated.task or _task_of(prediction)
    recognise = _RECOGNISERS.get(task, _by_shape)
    head, names, usual = recognise(prediction, replace(stated, task=task), plain, name)
    fit, normalisation = (
        stated.fit or Fitting(task_kind(task).usual_fit),
        stated.normalisation or usual,
    )
    resize = fit.resize_for(stated.input_size)
    spec = VisionSpec(task, names, stated.input_size, fit.method, head, resize, fit.interpolation)
    require_fit(spec, name)
    return spec, normalisation


def _first_output(network: Network, input_size: tuple[int, int], name: str) -> Array:
    """Return a network's first output for a random image."""
    height, width = input_size
    noise = np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)
    with translated(
        ModelError, f"a network that runs at {height} × {width} px", name, "give another image size"
    ):
        return network(noise)[0]


def _task_of(prediction: Array) -> str:
    return "detect" if prediction.ndim == 3 else "classify"


def _by_shape(prediction: Array, stated: StatedMeaning, plain: Probe, name: str) -> Recognised:
    """Find the only head of a task whose outputs have the shape of this one.

    Raises:
        ModelError: the classes are not named, or no head of the task has that shape, or several.
    """
    if not stated.class_names:
        raise ModelError(
            "class names", found=f"none in {name}", hint="pass the class names it was trained with"
        )
    of_task = {known: head_of(known) for known in HEADS if head_of(known).task == stated.task}
    shapes = {known: head.shape(len(stated.class_names)) for known, head in of_task.items()}
    fitting = [known for known, shape in shapes.items() if fits_shape(shape, prediction.shape)]
    if len(fitting) != 1:
        wanted = " or ".join(f"{shape} ({known})" for known, shape in shapes.items())
        raise ModelError(
            f"an output to {stated.task}, {wanted}", found=f"{prediction.shape} from {name}"
        )
    return fitting[0], stated.class_names, UNIT


def _recognise_detector(
    prediction: Array, stated: StatedMeaning, plain: Probe, name: str
) -> Recognised:
    head, names = _detector(prediction, stated.class_names, name)
    if head == "yolo":
        _require_decoded(prediction, name)
    return head, names, UNIT


def _recognise_classifier(
    prediction: Array, stated: StatedMeaning, plain: Probe, name: str
) -> Recognised:
    names = _classes_of(prediction, stated.class_names, name)
    rows = np.concatenate([prediction, *plain()])
    return settle_output(stated.output, rows, name).head, names, IMAGENET


_RECOGNISERS = {"detect": _recognise_detector, "classify": _recognise_classifier}


def _detector(
    prediction: Array, names: tuple[str, ...] | None, name: str
) -> tuple[str, tuple[str, ...]]:
    """Determine the detection head that gave this output, and the class names."""
    shape = prediction.shape
    _refuse_shares(prediction, len(names or ()), name)
    if len(shape) == 3 and names and shape[2] == 6:
        # first: no input size gives 6 anchors, but k may be 4 + classes
        if len(names) == 2:  # as wide as a box with two scores
            _require_rows(prediction, len(names), name)
        return "yolo_end2end", names
    if len(shape) == 3 and names and shape[1] == 4 + len(names):
        return "yolo", names
    if len(shape) == 3 and not names and 4 < shape[1] < shape[2]:
        return "yolo", default_names(shape[1] - 4)
    raise ModelError(
        f"a detector's output, (n, 4 + {len(names) if names else 'classes'}, anchors) or (n, k, 6)",
        found=f"{shape} from {name}",
        hint="pass the class names it was trained with"
        if not names
        else "export a YOLOv8, 10, 11 or 26 detector",
    )


def detr_error(name: str) -> ModelError:
    """Return the error that refuses a transformer's detections."""
    return ModelError(
        "a detector with a YOLO head",
        found=f"{name}, an RT-DETR: (n, queries, 4 + classes) with boxes as shares of the image",
        hint="use YOLOv8, 10, 11, 12 or 26; RT-DETR is not supported yet",
    )


def _refuse_shares(prediction: Array, classes: int, name: str) -> None:
    """Refuse the rows of a DETR: a box as shares of the image's sides, and a score for each class.

    Raises:
        ModelError: all numbers of (n, k, 4 + classes) lie between 0 and 1, and not all class ids
            could be whole.
    """
    if (
        prediction.ndim != 3
        or not classes
        or prediction.shape[2] != 4 + classes
        or not prediction.size
    ):
        return
    within = prediction.min() >= -SCORE_SLACK and prediction.max() <= 1 + SCORE_SLACK
    if within and not np.array_equal(prediction[..., -1], np.rint(prediction[..., -1])):
        raise detr_error(name)


def _require_rows(prediction: Array, classes: int, name: str) -> None:
    """Refuse (n, k, 6) that are not rows of a box in pixels, a score and a class id.

    Raises:
        ModelError: a score is beyond 0–1, a class id is no whole number or unknown, or boxes are
            shares of the image.
    """
    scores, ids = prediction[..., 4], prediction[..., 5]
    known = (
        np.array_equal(ids, np.rint(ids))
        and ids.min(initial=0) >= 0
        and ids.max(initial=0) < classes
    )
    if not known or scores.min(initial=0) < -SCORE_SLACK or scores.max(initial=0) > 1 + SCORE_SLACK:
        raise ModelError(
            "rows of a box, a score between 0 and 1, and a class id",
            found=f"others in the {prediction.shape} of {name}",
            hint="check what its output holds; RT-DETR and other heads of queries are not "
            "supported yet",
        )
    if scores.max(initial=0) > 0:
        _require_pixels(prediction[..., :4], name)


def _require_decoded(prediction: Array, name: str) -> None:
    """Refuse a YOLO output whose scores are still logits, or whose boxes are shares of the image.

    Raises:
        ModelError: it is one.
    """
    boxes, scores = prediction[:, :4], prediction[:, 4:]
    if scores.min() < -SCORE_SLACK or scores.max() > 1 + SCORE_SLACK:
        raise ModelError(
            "class scores between 0 and 1",
            found=f"{scores.min():.3g} to {scores.max():.3g} from {name}: logits",
            hint="export the detector with the sigmoid of its scores",
        )
    _require_pixels(boxes, name)


def _require_pixels(boxes: Array, name: str) -> None:
    if boxes.max() <= MAX_SHARE:
        raise ModelError(
            "boxes in pixels of the model's input",
            found=f"coordinates up to {boxes.max():.3g} from {name}: shares of its sides",
            hint="export the detector with boxes in pixels",
        )


def _classes_of(prediction: Array, names: tuple[str, ...] | None, name: str) -> tuple[str, ...]:
    """The names of the classes that an output has a number for."""
    classes = prediction.shape[-1] if prediction.ndim == 2 else 0
    if not classes or (names and len(names) != classes):
        hint = "pass the class names it was trained with"
        if not classes:
            hint = "export the network with one number a class, flattened to (n, classes)"
        elif classes == 1:
            hint = (
                "export it with one number a class: a single number says only how sure it is of "
                "one of them"
            )
        raise ModelError(
            f"a classifier's output, (n, {len(names) if names else 'classes'})",
            found=f"{prediction.shape} from {name}",
            hint=hint,
        )
    return names or default_names(classes)


def _plain_outputs(network: Network, height: int, width: int) -> list[Array]:
    """Return a network's first outputs for images that differ widely."""
    return [network(image)[0] for image in _plain_images(height, width)]


def _plain_images(height: int, width: int) -> list[Floats32]:
    """Return images as different as can be: black, white and a ramp; each (1, 3, height, width)."""
    shape = (1, 3, height, width)
    ramp = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), shape)
    return [np.zeros(shape, np.float32), np.ones(shape, np.float32), np.ascontiguousarray(ramp)]


def default_names(count: int) -> tuple[str, ...]:
    """class_0, class_1, … for a model that does not name its classes."""
    return tuple(f"class_{i}" for i in range(count))
