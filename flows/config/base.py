"""Parameters of the flows: one set of models is the Prefect UI's form, the YAML file and the Python call."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from components.contracts import Fit, Interpolation, Output, TaskType
from components.credentials import has_secrets
from components.documents import read_yaml, shorten
from components.errors import ConfigError
from components.images.statistics import IMAGE_COLUMNS
from model_registry import check_name

MIN_SIDE, MAX_SIDE = 8, 8192  # pixels of a model's input

C = TypeVar("C", bound=BaseModel)


def at(position: int) -> dict[str, Any]:
    """Where a field stands in the Prefect UI's form."""
    return {"position": position}


def _words(name: str) -> str:
    """A field's or a class's name as a form shows it: ``"labels_split"`` and ``"LabelsSplit"`` are Labels split."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower()
    return "IoU" if text == "iou" else text[:1].upper() + text[1:]


class Parameters(BaseModel):
    """Common ground: a name that is not known is an error, never ignored."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        field_title_generator=lambda name, _: _words(name),
        model_title_generator=lambda model: _words(re.sub(r"(Input|Config|Options)$", "", model.__name__)),
    )


class NormalisationInput(Parameters):
    """RGB values in 0-1 become (value - mean) / std."""

    mean: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description="Per channel, RGB.", json_schema_extra=at(0))
    std: tuple[float, float, float] = Field((1.0, 1.0, 1.0), description="Per channel, RGB.", json_schema_extra=at(1))


class FitInput(Parameters):
    """An image is scaled, then the middle is cropped, as torchvision's Resize and CenterCrop do."""

    resize: int | tuple[int, int] | None = Field(
        None,
        title="Resize",
        description="Length of the shorter side before the crop, or [height, width]; none scales to what just covers "
        "the crop.",
        json_schema_extra=at(0),
    )
    crop: int | tuple[int, int] | None = Field(
        None,
        title="Crop",
        description="Side of the crop, or [height, width]: the model's input. None is image_size.",
        json_schema_extra=at(1),
    )
    interpolation: Interpolation = Field(
        Interpolation.BILINEAR,
        title="Interpolation",
        description="bilinear or bicubic, antialiased as in Pillow.",
        json_schema_extra=at(2),
    )
    crop_pct: float | None = Field(
        None,
        title="Crop share (timm's crop_pct)",
        gt=0,
        le=1,
        description="Share of the shorter side that the crop keeps, as timm says it; in place of resize.",
        json_schema_extra=at(3),
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
        description="The model file: an Ultralytics .pt, a Foveal classifier .pt, TorchScript or ONNX.",
        json_schema_extra=at(0),
    )
    trust_pickle: bool = Field(
        False,
        description="You trust who made this .pt file: loading it can run any code. ONNX needs no trust.",
        json_schema_extra=at(1),
    )
    task: TaskType | None = Field(
        None, description="detect or classify, where the file does not say.", json_schema_extra=at(2)
    )
    image_size: int | tuple[int, int] | None = Field(
        None,
        title="Image size",
        description="The model's input in pixels: the side of a square, or [height, width], where the file does not "
        "say or another size is wanted. A YOLO .pt takes multiples of its stride, such as [480, 640].",
        json_schema_extra=at(3),
    )
    class_names: list[str] | None = Field(
        None, description="Names in the order of class ids, where the file does not say.", json_schema_extra=at(4)
    )
    fit: Fit | FitInput | None = Field(
        None,
        title="Fit",
        description="How images are brought to the input size, when not as usual: letterbox for detectors, "
        "center_crop for classifiers. A crop can be described: {resize: 256, crop: 224, interpolation: bicubic}.",
        json_schema_extra=at(5),
    )
    normalisation: NormalisationInput | None = Field(
        None,
        description="What the network expects, when not as usual: 0-1 for detectors, ImageNet's for classifiers.",
        json_schema_extra=at(6),
    )
    output: Output | None = Field(
        None,
        title="Output",
        description="What a classifier's numbers are, where its graph does not tell: logits, softmax (probabilities "
        "that sum to 1), sigmoid (scores, each class by itself) or sigmoid_logits (the same before the sigmoid).",
        json_schema_extra=at(7),
    )
    preprocessing: str | None = Field(
        None,
        title="Preprocessing",
        description="Size, fit and normalisation by name: torchvision/swin_t (of its default weights), "
        "torchvision/resnet50/IMAGENET1K_V1, or timm/vit and other families.",
        json_schema_extra=at(8),
    )
    original: Path | None = Field(
        None,
        title="Original",
        description="The file that this one was trained from, for the record; a retraining fills it in.",
        json_schema_extra=at(9),
    )

    end_to_end: bool = Field(
        False,
        title="End to end",
        description="Of a YOLO26 or YOLOv10 .pt, use the head that needs no NMS, as Ultralytics does with nms=False; "
        "its own default is the other one.",
        json_schema_extra=at(9),
    )

    _size = field_validator("image_size", mode="before")(lambda value: check_size(value))
    _fit = field_validator("fit", mode="before")(lambda value: check_fit(value))

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        crop = self.fit.crop if isinstance(self.fit, FitInput) else None
        if crop is not None and self.image_size is not None and as_pair(crop) != as_pair(self.image_size):
            raise ValueError(f"expected the image_size {self.image_size} as fit's crop, which is {crop}; give one")
        return self

    @property
    def input_size(self) -> tuple[int, int] | None:
        """The (height, width) that is asked for: by image_size, by fit's crop, or by a resize to both sides."""
        size = self.image_size
        if isinstance(self.fit, FitInput):
            sides = self.fit.resize if isinstance(self.fit.resize, tuple) else None
            size = next((given for given in (self.fit.crop, size, sides) if given is not None), None)
        return None if size is None else as_pair(size)


class DataInput(Parameters):
    """Your labelled data and the images to run on."""

    labelled: Path = Field(
        description="A YOLO data.yaml, or an image folder split/class/*.jpg.", json_schema_extra=at(0)
    )
    images: str | None = Field(
        None,
        description="Images to run the released model on: a folder, a glob, a manifest or a URL.",
        json_schema_extra=at(1),
    )
    train_split: str = Field("train", description="A retraining learns from it again.", json_schema_extra=at(8))
    validation_split: str = Field("val", description="Accuracy is measured here.", json_schema_extra=at(2))
    calibration_split: str = Field("train", description="INT8 ranges are learned here.", json_schema_extra=at(3))
    calibration_images: int = Field(
        128, ge=8, description="How many of them, drawn evenly over the split.", json_schema_extra=at(4)
    )
    golden_split: str = Field("val", description="The bundle's golden set is drawn here.", json_schema_extra=at(5))
    golden_images: int = Field(8, ge=1, le=64, description="How many of them.", json_schema_extra=at(6))
    conditions: list[str] = Field(
        default_factory=list,
        description="Splits that are each a condition of their own for drift, such as day and night; "
        "none is the validation split alone.",
        json_schema_extra=at(7),
    )

    _images = field_validator("images")(lambda value: check_address(value))


class BenchmarkInput(Parameters):
    """How long to measure."""

    rounds: int = Field(
        7, ge=6, le=100, description="Interleaved rounds; six are the least for an interval.", json_schema_extra=at(0)
    )
    calls: int = Field(20, ge=1, le=1000, description="Timed calls per variant and round.", json_schema_extra=at(1))
    batch: int = Field(8, ge=1, le=256, description="Images per call for the throughput.", json_schema_extra=at(2))
    accept_noise: bool = Field(
        False,
        description="Compare speeds even in a noise floor above 30 %; else the baseline ships then, if it can.",
        json_schema_extra=at(3),
    )


class Thresholds(Parameters):
    """What counts as a detection."""

    confidence: float = Field(0.25, ge=0, le=1, description="Detections below are dropped.", json_schema_extra=at(0))
    iou: float = Field(0.7, ge=0, le=1, description="Overlap above which NMS keeps one box.", json_schema_extra=at(1))


BuiltInTarget = Literal["workstation", "edge_server", "embedded", "mobile"]  # a choice in the form


class ReleaseConfig(Parameters):
    """Everything a release needs."""

    name: str = Field(description="Name of the registered model.", json_schema_extra=at(0))
    model: ModelInput = Field(json_schema_extra=at(1))
    data: DataInput = Field(json_schema_extra=at(2))
    target: BuiltInTarget | str = Field(
        "workstation",
        description="A built-in target, or the path of a TOML file of your own.",
        json_schema_extra=at(3),
        union_mode="left_to_right",
    )
    promote: Literal["verified", "never"] = Field(
        "verified",
        description="verified: the first version of a name becomes champion when a variant meets the target's budget "
        "and its bundle reproduces the golden set, a later one when it passes the gates against the champion; "
        "never: it stays challenger.",
        json_schema_extra=at(4),
    )
    benchmark: BenchmarkInput = Field(default_factory=BenchmarkInput, json_schema_extra=at(5))
    thresholds: Thresholds = Field(default_factory=Thresholds, json_schema_extra=at(6))
    accept_baseline: bool = Field(
        False,
        description="Go on although the model as given is no better than chance, or does not agree with its own "
        "framework.",
        json_schema_extra=at(7),
    )

    _name = field_validator("name")(lambda value: check_model_name(value))

    def logged(self) -> dict[str, Any]:
        """The parameters as MLflow keeps them; of a retrained model `model.path` is the file given at first."""
        values = self.model_dump(mode="json")
        if self.model.original:
            values["model"] |= {"path": str(self.model.original), "original": None}
        return values


class DriftInput(Parameters):
    """What counts as drift."""

    minimum_samples: int = Field(
        50, ge=4, description="Images with a prediction that a window needs.", json_schema_extra=at(0)
    )
    false_discovery_rate: float = Field(
        0.01, gt=0, lt=1, description="Share of false alarms among the columns that moved.", json_schema_extra=at(1)
    )
    distance: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="How much farther than by chance a column must move, until 20 accepted windows have taught it.",
        json_schema_extra=at(2),
    )
    fault_share: float = Field(
        0.02, gt=0, lt=1, description="Share of broken images beyond the usual.", json_schema_extra=at(3)
    )
    cooldown_hours: float = Field(
        72, ge=0, description="How long after a drift another one is not told.", json_schema_extra=at(4)
    )


class AlertInput(Parameters):
    """When somebody is told; each holds for the bound of an interval and not for a point."""

    accuracy_drop: float = Field(0.05, gt=0, lt=1, description="Of the deciding metric.", json_schema_extra=at(0))
    latency_p95_increase: float = Field(0.30, ge=0.01, description="As a share.", json_schema_extra=at(1))
    error_rate: float = Field(0.02, gt=0, lt=1, description="Share of failed images.", json_schema_extra=at(2))
    minimum_images: int = Field(50, ge=2, description="That a rate needs.", json_schema_extra=at(3))


class WatchConfig(Parameters):
    """What nightly monitoring and a look by hand have in common: the model, labels if there are any, the limits."""

    name: str = Field(description="Name of the registered model.", json_schema_extra=at(0))
    version: str = Field("champion", description="An alias or a version number.", json_schema_extra=at(4))
    labels: Path | None = Field(
        None,
        description="Labels as they arrive: a YOLO data.yaml or an image folder; images are matched by id.",
        json_schema_extra=at(5),
    )
    labels_split: str = Field("val", description="The split that holds them.", json_schema_extra=at(6))
    slices: tuple[str, ...] = Field(
        ("brightness", "contrast", "sharpness"),
        description="Image statistics that the labelled images are divided by, into thirds: accuracy is shown of each.",
        json_schema_extra=at(10),
    )
    drift: DriftInput = Field(default_factory=DriftInput, json_schema_extra=at(8))
    alerts: AlertInput = Field(default_factory=AlertInput, json_schema_extra=at(9))

    _name = field_validator("name")(lambda value: check_model_name(value))
    _statistics = field_validator("slices")(lambda value: check_statistics(value))


class MonitorConfig(WatchConfig):
    """Which images to look at by hand: those at a place, or those that were kept of a time range."""

    images: str | None = Field(
        None, description="A folder, a glob, a manifest or a URL; none for a time range.", json_schema_extra=at(1)
    )
    since: datetime | None = Field(None, description="First moment of the time range.", json_schema_extra=at(2))
    until: datetime | None = Field(None, description="Moment after its last.", json_schema_extra=at(3))
    tell: bool = Field(
        True,
        description="Tell of drift and alerts, as nightly monitoring does; else only look.",
        json_schema_extra=at(7),
    )

    keep_going: bool = Field(
        False,
        description="A host that does not answer costs its own images, as long as others do; else it ends the run.",
        json_schema_extra=at(11),
    )

    _aware = field_validator("since", "until")(lambda value: _in_utc(value))
    _images = field_validator("images")(lambda value: check_address(value))

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.images is None) == (self.since is None and self.until is None):
            raise ValueError("expected either images or a time range (since, until)")
        return self


class NightlyConfig(WatchConfig):
    """Which model, where its images arrive, and what is worth telling."""

    images: str = Field(
        description="Where images arrive: a folder, a glob, a manifest or a URL.", json_schema_extra=at(1)
    )
    most_images: int | None = Field(
        None, ge=1, description="Of one window; the others wait for the next run.", json_schema_extra=at(2)
    )
    keep_days: int | None = Field(
        None, ge=1, description="Remove stored rows that are older; none keeps all.", json_schema_extra=at(3)
    )
    quiet_hours: float | None = Field(
        48,
        gt=0,
        description="Tell when no new image came for so long; none never tells.",
        json_schema_extra=at(11),
    )
    keep_going: bool = Field(
        True,
        description="A host that does not answer costs its own images and is an alert, as long as others do; "
        "else it ends the night, whose images wait for the next.",
        json_schema_extra=at(12),
    )

    _images = field_validator("images")(lambda value: check_address(value))


def as_pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a size that may be the side of a square."""
    return (size, size) if isinstance(size, int) else size


def check_size(value: Any) -> Any:
    """A side in pixels, or (height, width); ValueError otherwise, as pydantic wants it."""
    sides = value if isinstance(value, list | tuple) else (value, value)
    if value is None or (len(sides) == 2 and all(type(n) is int and MIN_SIDE <= n <= MAX_SIDE for n in sides)):
        return tuple(value) if isinstance(value, list) else value
    raise ValueError(f"expected a side in pixels, {MIN_SIDE} to {MAX_SIDE}, or [height, width]")


def check_fit(value: Any) -> Any:
    """A way to fit an image by its name or by its fields; ValueError otherwise, as pydantic wants it."""
    if value is None or isinstance(value, FitInput) or value in list(Fit):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"expected {', '.join(Fit)}, or the fields {', '.join(FitInput.model_fields)}")
    try:
        return FitInput.model_validate(value)
    except ValidationError as error:
        raise ValueError("; ".join(_problem(FitInput, problem) for problem in error.errors())) from error


def _in_utc(value: datetime | None) -> datetime | None:
    """A time without a zone is meant in this machine's."""
    return value.astimezone(UTC) if value else None


def check_model_name(value: str) -> str:
    """A name that the registry takes; ValueError otherwise, as pydantic wants it."""
    try:
        return check_name(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def check_address(value: str | None) -> str | None:
    """An address of images without a secret; ValueError otherwise, as pydantic wants it."""
    if value and has_secrets(value):
        raise ValueError(
            "expected an address without a secret, as Prefect keeps it: put addresses with one into a manifest, "
            "or give the secret to fsspec in the environment"
        )
    return value


def check_statistics(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of image statistics; ValueError otherwise, as pydantic wants it."""
    if unknown := sorted(set(names) - set(IMAGE_COLUMNS)):
        raise ValueError(f"{', '.join(unknown)}: expected image statistics, {', '.join(IMAGE_COLUMNS)}")
    return names


def read_config(path: Path, kind: type[C]) -> C:
    """Read a YAML file into parameters; relative paths in it are relative to the file.

    Arguments:
        path: the YAML file.
        kind: the parameters' model.

    Raises:
        ConfigError: missing, not YAML, or not these parameters; names the field and close matches.
    """
    return validate_config(read_values(path, kind), kind, source=str(path))


def read_values(path: Path, kind: type[BaseModel]) -> dict[str, Any]:
    """The plain values of a YAML file, with relative paths made absolute, before they are checked.

    Raises:
        ConfigError: missing, not YAML, or not a mapping.
    """
    values = read_yaml(path, "a file of valid YAML", hint="check path, indentation and quotes", kind=ConfigError)
    if not isinstance(values, dict):
        raise ConfigError(f"the fields {', '.join(kind.model_fields)}", found=f"{path} holds {type(values).__name__}")
    return _anchored(values, path.parent.resolve())


def validate_config(values: dict[str, Any], kind: type[C], *, source: str) -> C:
    """Turn plain values into parameters; every problem is named in one line.

    Raises:
        ConfigError: with the source, the field, what is wrong and, for a typo, the close match.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [_problem(kind, problem) for problem in error.errors()]
        raise ConfigError(
            f"parameters of {kind.__name__}", found=f"{source}: {'; '.join(problems)}", mend="mend the fields named"
        ) from error


def _problem(kind: type[BaseModel], problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "the whole"
    if problem["type"] == "missing":
        return f"{where} is missing"
    if problem["type"] == "extra_forbidden":
        known = list(_fields_at(kind, problem["loc"][:-1]))
        close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        return f"{where} is unknown, " + (f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}")
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}, got {shorten(problem['input'])}"


def _fields_at(kind: type[BaseModel], location: tuple[Any, ...]) -> dict[str, Any]:
    for part in location:
        if isinstance(part, int):  # an item of a list of parameters
            continue
        annotation = kind.model_fields[str(part)].annotation if str(part) in kind.model_fields else None
        kinds = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type)]
        inner = next((one for one in kinds if issubclass(one, BaseModel)), None)
        if inner is None:
            return {}
        kind = inner
    return dict(kind.model_fields)


def _anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The values with relative paths made absolute; URLs, absolute paths and built-in names stay."""
    places = (("model", "path"), ("data", "labelled"), ("data", "images"), ("data", "labels"), (None, "images"))
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for section, key in places:
        holder = values if section is None else values.get(section)
        if isinstance(holder, dict) and isinstance(value := holder.get(key), str) and "://" not in value:
            holder[key] = str(folder / Path(value).expanduser())
    if isinstance(target := values.get("target"), str) and target.endswith(".toml"):
        values["target"] = str(folder / Path(target).expanduser())
    return values
