"""Parameters of the flows: one set of models is the Prefect UI's form, the YAML file and the Python call."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator

from components.credentials import has_secrets
from components.documents import read_yaml
from components.errors import ConfigError
from components.settings import Parameters, problems
from model_registry import check_name

C = TypeVar("C", bound=BaseModel)


class Named(Parameters):
    """The model that a flow is about."""

    name: str = Field(description="Name of the registered model.")

    _name = field_validator("name")(lambda value: check_model_name(value))


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
        found = f"{source}: {problems(kind, error)}"
        raise ConfigError(f"parameters of {kind.__name__}", found=found, mend="mend the fields named") from error


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
