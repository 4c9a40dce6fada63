"""Contracts as plain JSON values, and back."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, cast

T = TypeVar("T")


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def dump(value: Any) -> Any:
    """A contract as plain JSON values (dicts, lists, strings, numbers)."""
    return _adapter(cast(Any, type(value))).dump_python(value, mode="json")


def load(kind: type[T], value: Any) -> T:
    """The contract of type `kind` from what `dump` gave.

    Raises:
        pydantic.ValidationError: the value is not of that type.
    """
    found: T = _adapter(cast(Any, kind)).validate_python(value)
    return found
