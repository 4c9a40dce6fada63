"""Flow parameters: one set of models is the Prefect UI's form, the YAML file, the Python call."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator

from components.credentials import has_secrets
from components.documents import read_yaml
from components.errors import ConfigError
from components.settings import Parameters, problems
from model_registry import check_name

C = TypeVar("C", bound=BaseModel)

_PATHS = (
    ("model", "path"),
    ("data", "labelled"),
    ("data", "images"),
    ("data", "labels"),
    ("images",),
)


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
            "expected an address without a secret, as Prefect keeps it: put addresses with one "
            "into a manifest, "
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
    values = read_yaml(
        path, "a file of valid YAML", hint="check path, indentation and quotes", kind=ConfigError
    )
    if not isinstance(values, dict):
        raise ConfigError(
            f"the fields {', '.join(kind.model_fields)}",
            found=f"{path} holds {type(values).__name__}",
        )
    target = values.get("target")
    own_target = (("target",),) if isinstance(target, str) and target.endswith(".toml") else ()
    return absolute_paths(values, path.parent.resolve(), (*_PATHS, *own_target))


def validate_config(values: dict[str, Any], kind: type[C], *, source: str) -> C:
    """Turn plain values into parameters; every problem is named in one line.

    Raises:
        ConfigError: with the source, the field, what is wrong and, for a typo, the close match.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = f"{source}: {problems(kind, error)}"
        raise ConfigError(
            f"parameters of {kind.__name__}", found=found, hint="mend the fields named"
        ) from error


def absolute_paths(
    values: dict[str, Any], folder: Path, places: Iterable[tuple[str, ...]]
) -> dict[str, Any]:
    """Make relative paths absolute; URLs, absolute paths and what is no text stay.

    Arguments:
        values: plain values, which are left as they are.
        folder: that the paths are relative to.
        places: where a path may be, as the keys that lead there.
    """
    values = dict(values)
    for key, *rest in places:
        value = values.get(key)
        if rest and isinstance(value, dict):
            values[key] = absolute_paths(value, folder, [tuple(rest)])
        elif not rest and isinstance(value, str) and "://" not in value:
            values[key] = str(folder / Path(value).expanduser())
    return values
