"""Opening of models: any outside vision model becomes FP32 ONNX with its pre-processing inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.backends.onnx_file import describe_onnx, has_spec, read_onnx, sha256_model
from components.backends.onnx_graph import precision_of, tensor_specs
from components.contracts import BATCH, Fit, Format, ModelArtifact, Output, VisionSpec
from components.contracts.arrays import Image
from components.errors import ConfigError, ModelError
from components.optimize.context import PassContext
from components.optimize.meaning import Fitting, Normalisation, StatedMeaning, agree, meaning_of
from components.optimize.opening.checkpoint import (
    describe_checkpoint,
    is_torch_file,
    is_torchscript,
)
from components.optimize.opening.embed import EmbedPreprocessing
from components.optimize.opening.export import ExportOnnx
from components.optimize.opening.inputs import expected_of_input
from components.optimize.opening.own import prove_own
from components.optimize.opening.presets import Preset, preset
from components.optimize.opening.ultralytics_export import stated_by_metadata
from components.optimize.outputs import output_of_graph, require_scores
from components.optimize.proof import MAX_SAMPLES
from components.optimize.verify import OnnxNetwork
from components.vision import task_for

if TYPE_CHECKING:
    import onnx

KINDS = "an Ultralytics or Foveal .pt checkpoint, TorchScript or ONNX"


@dataclass(frozen=True)
class ModelOptions:
    """Statements of the user about a model file.

    Arguments:
        task: for files that do not say; like the names and the size, it may not contradict what a
            file does say.
        class_names: index is class id; class_0, class_1, … where neither the file nor you say.
        image_size: side of a square, or (height, width), in pixels.
        fit: how images are brought to that size, when that is not as usual: letterbox for
            detectors, centre crop for classifiers.
        preprocessing: size, fit and normalisation by the name of a preset, see `presets.preset`;
            what is given beside it comes first.
        normalisation: what the network expects, when that is not as usual: 0–1 for Ultralytics and
            for detectors, ImageNet's mean and deviation for other classifiers.
        output: what a classifier's numbers are, where neither the graph nor the numbers themselves
            tell. Logits are taken to be those of a softmax, which `remarks_on` then says:
            `Output.LOGITS` confirms it, `Output.SIGMOID_LOGITS` says that each class is a yes or no
            by itself.
        end_to_end: of a YOLO26 or YOLOv10 ``.pt``, take the head that needs no NMS, as Ultralytics
            does when it is given ``nms=False``.
        trust_pickle: your word that the file may execute code.
    """

    task: str | None = None
    class_names: Sequence[str] | None = None
    image_size: int | tuple[int, int] | None = None
    fit: Fit | Fitting | None = None
    preprocessing: str | None = None
    normalisation: Normalisation | None = None
    output: Output | None = None
    end_to_end: bool = False
    trust_pickle: bool = False

    @property
    def stated(self) -> StatedMeaning:
        """Statements about the model's meaning, completed by the preset."""
        size = self.image_size
        said = StatedMeaning(
            task=self.task or None,
            class_names=tuple(self.class_names) if self.class_names else None,
            input_size=(size, size) if isinstance(size, int) else size,
            fit=Fitting(self.fit) if isinstance(self.fit, Fit) else self.fit,
            normalisation=self.normalisation,
            output=Output(self.output) if self.output else None,
        )
        return (
            _prepared(said, preset(self.preprocessing), self.preprocessing)
            if self.preprocessing
            else said
        )


def open_model(
    path: Path,
    options: ModelOptions | None = None,
    *,
    workdir: Path,
    images: Iterable[Image] = (),
    batch: int = BATCH,
) -> ModelArtifact:
    """Open a model of any supported kind; the kind is seen from the contents, not from the name.

    - Ultralytics ``.pt`` (YOLOv8, 10, 11, 12, 26; detect and classify) and TorchScript:
      `trust_pickle` needed, since both execute code when they are loaded.
    - Foveal's own classifier ``.pt``: weights only, no trust needed.
    - ONNX from Ultralytics, or of any image classifier, float32 or float16, NCHW or NHWC, with a
      fixed or a free batch axis; weights in a second file are taken up.
    - Foveal's own ONNX: taken as it is; a free batch axis, where a batch does not give what its
      images give one by one, becomes 1.

    Arguments:
        path: the file.
        options: what you say of it.
        workdir: folder that the product is written to.
        images: (h, w, 3) uint8 BGR, like those that the model will see; without any, random pixels
            must do.
        batch: the largest number of images that the product will be given in one call.

    Returns:
        The FP32 ONNX artifact, proven to compute on these images what the original computes, in a
        whole batch if it can; its history says what it was proved on. Where it cannot, its batch
        axis is 1.

    Raises:
        UntrustedModelError: loading the file would execute code, and `trust_pickle` is false.
        ModelError: the file is missing, damaged or not supported, or contradicts the options.
        PassError: the product does not compute the same.
    """
    path = Path(path)
    if not path.is_file():
        found = f"a folder, {path}" if path.is_dir() else f"nothing at {path}"
        raise ModelError(f"a model file ({KINDS})", found=found, hint="check the path")
    options = options or ModelOptions()
    user, end_to_end = options.stated, options.end_to_end
    context = PassContext(workdir, trust_pickle=options.trust_pickle, batch=batch)
    if is_torch_file(path):
        artifact, normalisation = describe_checkpoint(
            path, user, trust=options.trust_pickle, end_to_end=end_to_end
        )
        stated = bool(user.output) or not is_torchscript(path)  # checkpoints say which loss it was
        return ExportOnnx(normalisation, end_to_end=end_to_end, stated=stated).apply(
            artifact, _with_images(context, artifact.spec, images)
        )
    return _open_onnx(path, user, context, images)


def _prepared(user: StatedMeaning, known: Preset, name: str) -> StatedMeaning:
    """Complete the user's statements by a preset.

    Raises:
        ConfigError: another image size than the preset's, whose crop would then be another one.
    """
    if (
        user.input_size
        and known.input_size
        and user.input_size != known.input_size
        and not user.fit
    ):
        raise ConfigError(
            f"the image size of {name}, {known.input_size[0]}",
            found=f"{list(user.input_size)}",
            hint="leave image_size out, or say fit and normalisation in place of preprocessing",
        )
    return replace(
        user,
        input_size=user.input_size or known.input_size,
        fit=user.fit or known.fit,
        normalisation=user.normalisation or known.normalisation,
    )


def _with_images(context: PassContext, spec: VisionSpec, images: Iterable[Image]) -> PassContext:
    """The context with images brought to the model's input, as many as a proof looks at."""
    task = task_for(spec)
    return replace(
        context, calibration=[task.preprocess(image)[0] for image in islice(images, MAX_SAMPLES)]
    )


def _open_onnx(
    path: Path, user: StatedMeaning, context: PassContext, images: Iterable[Image]
) -> ModelArtifact:
    try:
        model = read_onnx(path, outside=True)
    except ModelError as error:
        if path.suffix.lower() == ".onnx":
            raise
        raise ModelError(
            f"a model file ({KINDS})", found=path.name, hint="export it to ONNX"
        ) from error
    if has_spec(model):
        artifact = _own(describe_onnx(path), user)
        return prove_own(artifact, _with_images(context, artifact.spec, images))
    network = OnnxNetwork(model, path.name)
    inputs, outputs = tensor_specs(model)
    require_scores(outputs, path.name)
    spec, normalisation = meaning_of(
        user, _stated_by(model, network, path.name), network, path.name
    )
    artifact = ModelArtifact(
        path, Format.ONNX, precision_of(model), sha256_model(path), spec, inputs, outputs
    )
    return EmbedPreprocessing(normalisation, stated=bool(user.output)).apply(
        artifact, _with_images(context, spec, images)
    )


def _stated_by(model: onnx.ModelProto, network: OnnxNetwork, name: str) -> StatedMeaning:
    """Read an outside ONNX file's statements: its fixed size, an Ultralytics export's metadata."""
    fixed, output, expected = (
        network.form.input_size,
        output_of_graph(model),
        expected_of_input(model),
    )
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if {"task", "names", "imgsz"} <= entries.keys():
        stated = stated_by_metadata(entries, name, resizable=fixed is None)
        return agree(
            StatedMeaning(input_size=fixed, normalisation=expected, output=output), stated, name
        )
    return StatedMeaning(
        input_size=fixed, normalisation=expected, resizable=fixed is None, output=output
    )


def _own(artifact: ModelArtifact, user: StatedMeaning) -> ModelArtifact:
    """Take a file that Foveal wrote as it is: its meaning is inside.

    Raises:
        ModelError: the user says otherwise.
    """
    said: dict[str, Any] = {
        "task": user.task,
        "class_names": user.class_names,
        "input_size": user.input_size,
    }
    if user.fit:
        resize = user.fit.resize_for(artifact.spec.input_size)
        said |= {"fit": user.fit.method, "resize": resize, "interpolation": user.fit.interpolation}
    if user.output and user.output.head != artifact.spec.head:
        raise ModelError(
            f"the head {artifact.spec.head}, as {artifact.path.name} says itself",
            found=f"output {user.output}",
            hint="leave output out",
        )
    for name, value in said.items():
        own = getattr(artifact.spec, name)
        if value is not None and value != own:
            raise ModelError(
                f"{name} {own}, as {artifact.path.name} says itself",
                found=str(value),
                hint=f"leave {name} out",
            )
    return artifact
