"""Files that torch saves: Ultralytics checkpoints, Foveal's classifiers, TorchScript archives."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import telemetry
from components.backends.neutral import neutral_copy
from components.backends.onnx_file import INPUT, SPEC_KEY, output_shape
from components.backends.session import one_line, translated
from components.backends.torch_pickle import entries_of
from components.backends.torchscript_file import read_extra_files
from components.backends.yolo import load_yolo
from components.contracts import Fit, Format, ModelArtifact, Output, Precision, TensorSpec
from components.contracts.arrays import Array, Floats32
from components.errors import ModelError, UntrustedModelError
from components.files import sha256_file
from components.optimize.meaning import UNIT, Fitting, Normalisation, StatedMeaning, meaning_of
from components.optimize.opening.ultralytics_export import stated_by_metadata, supported_task
from components.optimize.outputs import output_of_torchscript
from components.optimize.quiet import quiet
from components.vision import task_kind

if TYPE_CHECKING:
    import torch
    from ultralytics import YOLO

CLASSIFIER_KEY = "foveal_classifier"
_HEADS = {"Detect", "v10Detect", "Classify"}


@dataclass(frozen=True, eq=False)
class TorchNetwork:
    """A loaded torch model, called with (n, 3, height, width) float32 RGB.

    `stated` is what its file says of it.
    """

    module: torch.nn.Module
    stated: StatedMeaning

    def __call__(self, batch: Floats32) -> list[Array]:
        import torch

        with quiet(), torch.inference_mode():
            outputs = self.module(torch.from_numpy(batch))
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        return [output.numpy() for output in outputs if isinstance(output, torch.Tensor)]


def is_torch_file(path: Path) -> bool:
    """Tell whether a file looks like one of `torch.save` or TorchScript, without loading it."""
    with path.open("rb") as file:
        return file.read(2) in {b"PK", b"\x80\x02"}


def is_torchscript(path: Path) -> bool:
    """Tell whether a torch file is a TorchScript archive.

    Raises:
        ModelError: it is damaged, or would grow on reading.
    """
    return "constants.pkl" in entries_of(path)


def describe_checkpoint(
    path: Path, user: StatedMeaning, *, trust: bool, end_to_end: bool = False
) -> tuple[ModelArtifact, Normalisation]:
    """Describe a model that torch saved, as the artifact for `ExportOnnx` and `TraceTorchScript`.

    Arguments:
        path: the file.
        user: what the user says about it.
        trust: the user's word that it may be unpickled or executed.
        end_to_end: see `load_torch`.

    Raises:
        UntrustedModelError: it can only be loaded by executing code, and `trust` is false.
        ModelError: it is not a model that Foveal supports, or contradicts what the user says.
    """
    network = load_torch(path, trust=trust, end_to_end=end_to_end)
    spec, normalisation = meaning_of(user, network.stated, network, path.name)
    artifact = ModelArtifact(
        path=path,
        format=Format.TORCH,
        precision=Precision.FP32,
        sha256=sha256_file(path),
        spec=spec,
        inputs=(TensorSpec(INPUT, ("batch", 3, *spec.input_size), "float32"),),
        outputs=(TensorSpec("output0", output_shape(spec), "float32"),),
    )
    return artifact, normalisation


def load_torch(path: Path, *, trust: bool, end_to_end: bool = False) -> TorchNetwork:
    """Load a model that torch saved; a weights-only checkpoint is recognised and needs no trust.

    Arguments:
        path: the file.
        trust: the user's word that it may be unpickled or executed.
        end_to_end: of a YOLO26 or YOLOv10, take the head that needs no NMS. Ultralytics' own
            `predict` and `export` take the other one unless they are given `nms=False`.

    Raises:
        UntrustedModelError: it can only be loaded by executing code, and `trust` is false.
        ModelError: the file is damaged, is no model that Foveal supports, or has no such head.
    """
    telemetry.switch_off()
    if is_torchscript(path):
        return _torchscript(path, trust)
    contents = weights_only(path)
    if isinstance(contents, Mapping) and CLASSIFIER_KEY in contents:
        return _classifier(contents, path.name)
    if contents is not None and not _holds_module(contents):
        raise ModelError(
            "a checkpoint that says which network it is for",
            found=f"bare weights in {path.name}",
            hint="export the model to ONNX, or save it with Foveal's classifier training",
        )
    return _ultralytics(load_yolo(path, trust=trust), path.name, end_to_end)


def weights_only(path: Path) -> Any:
    """Read a file of tensors and plain values only; None if reading it takes more than that."""
    import torch

    try:
        with quiet(), neutral_copy(path, ".pt") as copy:
            return torch.load(copy, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return None
    except Exception as error:
        raise ModelError(
            "a whole checkpoint", found=f"{path.name}: {one_line(error)}", hint="save it again"
        ) from error


def _holds_module(contents: object) -> bool:
    """Tell whether a checkpoint holds a module.

    Ultralytics, once imported, lets torch read its classes as values.
    """
    import torch

    return isinstance(contents, Mapping) and any(
        isinstance(value, torch.nn.Module) for value in contents.values()
    )


def _ultralytics(yolo: YOLO, name: str, end_to_end: bool) -> TorchNetwork:
    """The network of an Ultralytics checkpoint, fused and set to give plain predictions."""
    task = supported_task(str(yolo.task), name)
    model = yolo.model
    head = list(getattr(model, "model", [None]))[-1]
    if type(head).__name__ not in _HEADS:
        raise ModelError(
            "a YOLO detector or classifier",
            found=f"a {type(head).__name__} head in {name}",
            hint="use YOLOv8, 10, 11, 12 or 26, or export the model to ONNX",
        )
    if getattr(head, "one2one_cv2", None) is not None:
        model.end2end = end_to_end  # where fusion has removed the other head before, this one stays
    elif end_to_end:
        raise ModelError(
            "a YOLO26 or YOLOv10, which have an end-to-end head",
            found=f"{name} without one",
            hint="leave end_to_end out",
        )
    with quiet():
        model = model.float().eval().fuse(verbose=False)
    for module in model.modules():
        if hasattr(module, "export"):
            module.export, module.format = True, "onnx"
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    size = yolo.overrides.get("imgsz") or 640
    height, width = (size, size) if isinstance(size, int) else size
    names = tuple(str(model.names[i]) for i in sorted(model.names))
    kind = task_kind(task)
    output = None if kind.finds_objects else Output.SOFTMAX  # an exported Classify head ends in one
    stride = max(int(model.stride.max()), 1)
    size = (int(height), int(width))
    return TorchNetwork(
        model,
        StatedMeaning(
            task, names, size, Fitting(kind.usual_fit), UNIT, stride=stride, output=output
        ),
    )


def _classifier(contents: Mapping[str, Any], name: str) -> TorchNetwork:
    """Foveal's own classifier: a torchvision architecture by name, and its weights."""
    from torchvision import models

    with translated(ModelError, "a whole Foveal classifier", name, "train it again"):
        architecture, names = (
            str(contents["architecture"]),
            tuple(str(n) for n in contents["class_names"]),
        )
        if architecture not in models.list_models(module=models):
            raise ValueError(f"torchvision has no classifier {architecture!r}")
        with quiet():
            module = models.get_model(architecture, weights=None, num_classes=len(names))
        module.load_state_dict(contents["state_dict"])
        size = int(contents["image_size"])
        normalisation = Normalisation(_triple(contents["mean"]), _triple(contents["std"]))
        fit = Fit(contents.get("fit", Fit.STRETCH))
    module.eval().requires_grad_(False)
    stated = StatedMeaning(
        "classify", names, (size, size), Fitting(fit), normalisation, output=Output.LOGITS
    )
    return TorchNetwork(module, stated)


def _triple(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _torchscript(path: Path, trust: bool) -> TorchNetwork:
    """A TorchScript archive: a program that takes (n, 3, height, width) float RGB."""
    import torch

    if not trust:
        raise UntrustedModelError(
            "your word that this file is trusted",
            found=f"{path.name}, TorchScript: a program that runs when it is loaded",
            hint="if you made it or trust its maker, say so with --trust-pickle (trust_pickle: "
            "true in YAML); "
            "an ONNX export needs no trust",
        )
    extra = read_extra_files(path, ("config.txt", SPEC_KEY))
    if SPEC_KEY in extra:
        raise ModelError(
            "a model from outside",
            found=f"{path.name}, which Foveal traced",
            hint="open what it was traced from",
        )
    with translated(ModelError, "a TorchScript archive", path.name):
        with quiet(), neutral_copy(path, ".pt") as copy:
            module = torch.jit.load(str(copy), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        metadata = json.loads(extra.get("config.txt") or "{}")
    stated = (
        stated_by_metadata(metadata, path.name, resizable=False) if metadata else StatedMeaning()
    )
    return TorchNetwork(module, replace(stated, output=output_of_torchscript(module)))
