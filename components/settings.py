"""Settings of component, form and YAML: one pydantic model each, wrong values refused by name."""

from __future__ import annotations

import difflib
import re
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from components.documents import shorten
from components.errors import ConfigError


def _words(name: str) -> str:
    """Return a name as forms show it: ``"labels_split"`` and ``"LabelsSplit"`` are Labels split."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower()
    return "IoU" if text == "iou" else text[:1].upper() + text[1:]


def _in_order(schema: dict[str, Any]) -> None:
    """Have the Prefect UI's form show fields in the order of definition, those of bases first."""
    for position, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = position


class Parameters(BaseModel):
    """Common ground: a name that is not known is an error, never ignored."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra=_in_order,
        field_title_generator=lambda name, _: _words(name),
        model_title_generator=lambda model: _words(
            re.sub(r"(Input|Config|Options|Policy)$", "", model.__name__)
        ),
    )


class ComponentSettings(Parameters):
    """Settings of a component, which a form nests as they are.

    Raises:
        ConfigError: a value is unknown or out of its range. As a part of a form it is a problem of
            the form.
    """

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            found = problems(type(self), error)
            raise ConfigError(
                f"settings of {type(self).__name__}", found=found, hint="mend the fields named"
            ) from error

    # Without this mark pydantic would call `__init__` for settings within a form, and the form's
    # error would be lost.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


def problems(kind: type[BaseModel], error: ValidationError) -> str:
    """Every problem of some values, in one line.

    Arguments:
        kind: what the values were to be.
        error: what pydantic says of them.
    """
    return "; ".join(_problem(kind, problem) for problem in error.errors())


def _problem(kind: type[BaseModel], problem: ErrorDetails) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "the whole"
    if problem["type"] == "missing":
        return f"{where} is missing"
    if problem["type"] == "extra_forbidden":
        known = list(_fields_at(kind, problem["loc"][:-1]))
        close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        return f"{where} is unknown, " + (
            f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        )
    return (
        f"{where}: {problem['msg'].removeprefix('Value error, ')}, got {shorten(problem['input'])}"
    )


def _fields_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> dict[str, FieldInfo]:
    for part in location:
        if isinstance(part, int):  # an item of a list of parameters
            continue
        annotation = (
            kind.model_fields[str(part)].annotation if str(part) in kind.model_fields else None
        )
        kinds = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type)]
        inner = next((one for one in kinds if issubclass(one, BaseModel)), None)
        if inner is None:
            return {}
        kind = inner
    return dict(kind.model_fields)
