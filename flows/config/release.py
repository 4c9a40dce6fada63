"""Parameters of a release: the model, its data, the target, and how it is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function
from typing_extensions import TypeAliasType

from components.benchmark.plan import BenchmarkSettings
from components.contracts import Fit, Interpolation, Output
from components.settings import Parameters, problems
from components.vision.tasks import TASKS
from flows.config.base import Named, check_address

MIN_SIDE, MAX_SIDE = 8, 8192  # pixels of a model's input


class _NameOfTask:
    """Refuses names that `TASKS` does not have, and offers in forms those that it has."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(_known_task, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        about = "Task of a model, which decides the kind of its predictions."
        return {"description": about, "enum": list(TASKS), "title": "TaskType", "type": "string"}


def _known_task(name: str) -> str:
    if name not in TASKS:
        raise ValueError(f"Input should be {' or '.join(map(repr, TASKS))}")
    return name


TaskType = TypeAliasType("TaskType", Annotated[str, _NameOfTask()])  # its name in forms


class NormalisationInput(Parameters):
    """RGB values in 0-1 become (value - mean) / std."""

    mean: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description="Per channel, RGB.")
    std: tuple[float, float, float] = Field((1.0, 1.0, 1.0), description="Per channel, RGB.")


class FitInput(Parameters):
    """An image is scaled, then the middle is cropped, as torchvision's Resize and CenterCrop do."""

    resize: int | tuple[int, int] | None = Field(
        None,
        description="Length of the shorter side before the crop, or [height, width]; none scales "
        "to what just covers "
        "the crop.",
    )
    crop: int | tuple[int, int] | None = Field(
        None,
        description="Side of the crop, or [height, width]: the model's input. None is image_size.",
    )
    interpolation: Interpolation = Field(
        Interpolation.BILINEAR, description="bilinear or bicubic, antialiased as in Pillow."
    )
    crop_pct: float | None = Field(
        None,
        title="Crop share (timm's crop_pct)",
        gt=0,
        le=1,
        description="Share of the shorter side that the crop keeps, as timm says it; in place of "
        "resize.",
    )

    _sizes = field_validator("resize", "crop", mode="before")(lambda value: check_size(value))

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.resize is not None and self.crop_pct is not None:
            raise ValueError("expected resize or crop_pct, not both")
        return self


class ModelInput(Parameters):
    """The trained model."""

    path: Path = Field(
        description="The model file: an Ultralytics .pt, a Foveal classifier .pt, TorchScript or "
        "ONNX.",
    )
    trust_pickle: bool = Field(
        False,
        description="You trust who made this .pt file: loading it can run any code. ONNX needs no "
        "trust.",
    )
    task: TaskType | None = Field(
        None, description="detect or classify, where the file does not say."
    )
    image_size: int | tuple[int, int] | None = Field(
        None,
        description="The model's input in pixels: the side of a square, or [height, width], where "
        "the file does not "
        "say or another size is wanted. A YOLO .pt takes multiples of its stride, such as [480, "
        "640].",
    )
    class_names: list[str] | None = Field(
        None, description="Names in the order of class ids, where the file does not say."
    )
    fit: Fit | FitInput | None = Field(
        None,
        description="How images are brought to the input size, when not as usual: letterbox for "
        "detectors, "
        "center_crop for classifiers. A crop can be described: {resize: 256, crop: 224, "
        "interpolation: bicubic}.",
    )
    normalisation: NormalisationInput | None = Field(
        None,
        description="What the network expects, when not as usual: 0-1 for detectors, ImageNet's "
        "for classifiers.",
    )
    output: Output | None = Field(
        None,
        description="What a classifier's numbers are, where its graph does not tell: logits, "
        "softmax (probabilities "
        "that sum to 1), sigmoid (scores, each class by itself) or sigmoid_logits (the same before "
        "the sigmoid).",
    )
    preprocessing: str | None = Field(
        None,
        description="Size, fit and normalisation by name: torchvision/swin_t (of its default "
        "weights), "
        "torchvision/resnet50/IMAGENET1K_V1, or timm/vit and other families.",
    )
    end_to_end: bool = Field(
        False,
        description="Of a YOLO26 or YOLOv10 .pt, use the head that needs no NMS, as Ultralytics "
        "does with nms=False; "
        "its own default is the other one.",
    )
    original: Path | None = Field(
        None,
        description="The file that this one was trained from, for the record; a retraining fills "
        "it in.",
    )

    _size = field_validator("image_size", mode="before")(lambda value: check_size(value))
    _fit = field_validator("fit", mode="before")(lambda value: check_fit(value))

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        crop = self.fit.crop if isinstance(self.fit, FitInput) else None
        if (
            crop is not None
            and self.image_size is not None
            and as_pair(crop) != as_pair(self.image_size)
        ):
            raise ValueError(
                f"expected the image_size {self.image_size} as fit's crop, which is {crop}; give "
                "one"
            )
        return self

    @property
    def input_size(self) -> tuple[int, int] | None:
        """The (height, width) asked for: by image_size, fit's crop, or a resize to both sides."""
        size = self.image_size
        if isinstance(self.fit, FitInput):
            sides = self.fit.resize if isinstance(self.fit.resize, tuple) else None
            size = next(
                (given for given in (self.fit.crop, size, sides) if given is not None), None
            )
        return None if size is None else as_pair(size)


class DataInput(Parameters):
    """Your labelled data and the images to run on."""

    labelled: Path = Field(description="A YOLO data.yaml, or an image folder split/class/*.jpg.")
    images: str | None = Field(
        None,
        description="Images to run the released model on: a folder, a glob, a manifest or a URL.",
    )
    validation_split: str = Field("val", description="Accuracy is measured here.")
    calibration_split: str = Field("train", description="INT8 ranges are learned here.")
    calibration_images: int = Field(
        128, ge=8, description="How many of them, drawn evenly over the split."
    )
    golden_split: str = Field("val", description="The bundle's golden set is drawn here.")
    golden_images: int = Field(8, ge=1, le=64, description="How many of them.")
    conditions: list[str] = Field(
        default_factory=list,
        description="Splits that are each a condition of their own for drift, such as day and "
        "night; "
        "none is the validation split alone.",
    )
    train_split: str = Field("train", description="A retraining learns from it again.")

    _images = field_validator("images")(lambda value: check_address(value))


class Thresholds(Parameters):
    """What counts as a detection."""

    confidence: float = Field(0.25, ge=0, le=1, description="Detections below are dropped.")
    iou: float = Field(0.7, ge=0, le=1, description="Overlap above which NMS keeps one box.")


BuiltInTarget = Literal["workstation", "edge_server", "embedded", "mobile"]  # a choice in the form


class ReleaseConfig(Named):
    """Everything a release needs."""

    model: ModelInput = Field()
    data: DataInput = Field()
    target: BuiltInTarget | str = Field(
        "workstation",
        description="A built-in target, or the path of a TOML file of your own.",
        union_mode="left_to_right",
    )
    promote: Literal["verified", "never"] = Field(
        "verified",
        description="verified: the first version of a name becomes champion when a variant meets "
        "the target's budget "
        "and its bundle reproduces the golden set, a later one when it passes the gates against "
        "the champion; "
        "never: it stays challenger.",
    )
    benchmark: BenchmarkSettings = Field(default_factory=BenchmarkSettings)
    thresholds: Thresholds = Field(default_factory=Thresholds)
    accept_baseline: bool = Field(
        False,
        description="Go on although the model as given is no better than chance, or does not agree "
        "with its own "
        "framework.",
    )

    def logged(self) -> dict[str, Any]:
        """Return MLflow's parameters; if retrained, `model.path` is the file given at first."""
        values = self.model_dump(mode="json")
        if self.model.original:
            values["model"] |= {"path": str(self.model.original), "original": None}
        return values


def as_pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a size that may be the side of a square."""
    return (size, size) if isinstance(size, int) else size


def check_size(value: Any) -> Any:
    """A side in pixels, or (height, width); ValueError otherwise, as pydantic wants it."""
    sides = value if isinstance(value, list | tuple) else (value, value)
    if value is None or (
        len(sides) == 2 and all(type(n) is int and MIN_SIDE <= n <= MAX_SIDE for n in sides)
    ):
        return tuple(value) if isinstance(value, list) else value
    raise ValueError(f"expected a side in pixels, {MIN_SIDE} to {MAX_SIDE}, or [height, width]")


def check_fit(value: Any) -> Any:
    """Check a way to fit images, by name or fields; ValueError otherwise, as pydantic wants it."""
    if value is None or isinstance(value, FitInput) or value in list(Fit):
        return value
    if not isinstance(value, dict):
        raise ValueError(
            f"expected {', '.join(Fit)}, or the fields {', '.join(FitInput.model_fields)}"
        )
    try:
        return FitInput.model_validate(value)
    except ValidationError as error:
        raise ValueError(problems(FitInput, error)) from error
