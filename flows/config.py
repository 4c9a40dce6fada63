"""Parameters of the flows: one set of models is the Prefect UI's form, the YAML file and the Python call."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from components.contracts import Fit, TaskType
from components.errors import ConfigError

C = TypeVar("C", bound=BaseModel)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def _at(position: int) -> dict[str, Any]:
    return {"position": position}


class Parameters(BaseModel):
    """Common ground: a name that is not known is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NormalisationInput(Parameters):
    """RGB values in 0-1 become (value - mean) / std."""

    mean: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description="Per channel, RGB.", json_schema_extra=_at(0))
    std: tuple[float, float, float] = Field((1.0, 1.0, 1.0), description="Per channel, RGB.", json_schema_extra=_at(1))


class ModelInput(Parameters):
    """The trained model."""

    path: Path = Field(
        description="The model file: an Ultralytics .pt, a Foveal classifier .pt, TorchScript or ONNX.",
        json_schema_extra=_at(0),
    )
    trust_pickle: bool = Field(
        False,
        description="You trust who made this .pt file: loading it can run any code. ONNX needs no trust.",
        json_schema_extra=_at(1),
    )
    task: TaskType | None = Field(
        None, description="detect or classify, where the file does not say.", json_schema_extra=_at(2)
    )
    image_size: int | None = Field(
        None,
        ge=8,
        le=8192,
        description="Side of the model's input in pixels, where the file does not say.",
        json_schema_extra=_at(3),
    )
    class_names: list[str] | None = Field(
        None, description="Names in the order of class ids, where the file does not say.", json_schema_extra=_at(4)
    )
    fit: Fit | None = Field(
        None,
        description="How images are brought to the input size, when not as usual: letterbox for detectors, "
        "center_crop for classifiers.",
        json_schema_extra=_at(5),
    )
    normalisation: NormalisationInput | None = Field(
        None,
        description="What the network expects, when not as usual: 0-1 for detectors, ImageNet's for classifiers.",
        json_schema_extra=_at(6),
    )


class DataInput(Parameters):
    """Your labelled data and the images to run on."""

    labelled: Path = Field(
        description="A YOLO data.yaml, or an image folder split/class/*.jpg.", json_schema_extra=_at(0)
    )
    images: str | None = Field(
        None,
        description="Images to run the released model on: a folder, a glob, a manifest or a URL.",
        json_schema_extra=_at(1),
    )
    validation_split: str = Field("val", description="Accuracy is measured here.", json_schema_extra=_at(2))
    calibration_split: str = Field("train", description="INT8 ranges are learned here.", json_schema_extra=_at(3))
    calibration_images: int = Field(
        128, ge=8, description="How many of them, drawn evenly over the split.", json_schema_extra=_at(4)
    )
    golden_split: str = Field("val", description="The bundle's golden set is drawn here.", json_schema_extra=_at(5))
    golden_images: int = Field(8, ge=1, le=64, description="How many of them.", json_schema_extra=_at(6))


class BenchmarkInput(Parameters):
    """How long to measure."""

    rounds: int = Field(7, ge=3, le=100, description="Interleaved rounds.", json_schema_extra=_at(0))
    calls: int = Field(20, ge=1, le=1000, description="Timed calls per variant and round.", json_schema_extra=_at(1))
    batch: int = Field(8, ge=1, le=256, description="Images per call for the throughput.", json_schema_extra=_at(2))


class Thresholds(Parameters):
    """What counts as a detection."""

    confidence: float = Field(0.25, ge=0, le=1, description="Detections below are dropped.", json_schema_extra=_at(0))
    iou: float = Field(0.7, ge=0, le=1, description="Overlap above which NMS keeps one box.", json_schema_extra=_at(1))


class ReleaseConfig(Parameters):
    """Everything a release needs."""

    name: str = Field(description="Name of the registered model.", json_schema_extra=_at(0))
    model: ModelInput = Field(json_schema_extra=_at(1))
    data: DataInput = Field(json_schema_extra=_at(2))
    target: str = Field(
        "workstation",
        description="A built-in target, or the path of a TOML file of your own.",
        json_schema_extra=_at(3),
    )
    promote: Literal["verified", "never"] = Field(
        "verified",
        description="verified: the version becomes champion when a variant meets the target's budget and its bundle "
        "reproduces the golden set; never: it stays challenger.",
        json_schema_extra=_at(4),
    )
    benchmark: BenchmarkInput = Field(default_factory=BenchmarkInput, json_schema_extra=_at(5))
    thresholds: Thresholds = Field(default_factory=Thresholds, json_schema_extra=_at(6))

    _name = field_validator("name")(lambda value: _model_name(value))


class MonitorConfig(Parameters):
    """Which model, which images."""

    name: str = Field(description="Name of the registered model.", json_schema_extra=_at(0))
    images: str = Field(description="A folder, a glob, a manifest or a URL.", json_schema_extra=_at(1))
    version: str = Field("champion", description="An alias or a version number.", json_schema_extra=_at(2))
    thresholds: Thresholds = Field(default_factory=Thresholds, json_schema_extra=_at(3))

    _name = field_validator("name")(lambda value: _model_name(value))


def _model_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("expected letters, digits, '-', '_' and '.', beginning with a letter or a digit")
    return value


def read_config(path: Path, kind: type[C]) -> C:
    """Read a YAML file into parameters; relative paths in it are relative to the file.

    Arguments:
        path: the YAML file.
        kind: the parameters' model.

    Raises:
        ConfigError: missing, not YAML, or not these parameters; names the field and close matches.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("a YAML file", found=f"{path}: {error.strerror or error}", mend="check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
        raise ConfigError("valid YAML", found=f"{path}: {found}", mend="mind indentation and quotes") from error
    if not isinstance(values, dict):
        raise ConfigError(f"the fields {', '.join(kind.model_fields)}", found=f"{path} holds {type(values).__name__}")
    return validate_config(_anchored(values, path.parent.resolve()), kind, source=str(path))


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
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}, got {problem['input']!r}"


def _fields_at(kind: type[BaseModel], location: tuple[Any, ...]) -> dict[str, Any]:
    for part in location:
        inner = kind.model_fields[str(part)].annotation if str(part) in kind.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return {}
        kind = inner
    return dict(kind.model_fields)


def _anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The values with relative paths made absolute; URLs, absolute paths and built-in names stay."""
    places = (("model", "path"), ("data", "labelled"), ("data", "images"), (None, "images"))
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for section, key in places:
        holder = values if section is None else values.get(section)
        if isinstance(holder, dict) and isinstance(value := holder.get(key), str) and "://" not in value:
            holder[key] = str(folder / Path(value).expanduser())
    if isinstance(target := values.get("target"), str) and target.endswith(".toml"):
        values["target"] = str(folder / Path(target).expanduser())
    return values
