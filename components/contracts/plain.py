"""Contracts as plain JSON values, and back."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def dump(value: object) -> Any:
    """A contract as plain JSON values (dicts, lists, strings, numbers)."""
    return _adapter(cast(Hashable, type(value))).dump_python(value, mode="json")


def load(kind: type[T], value: object) -> T:
    """The contract of type `kind` from what `dump` gave.

    Raises:
        pydantic.ValidationError: the value is not of that type.
    """
    found: T = _adapter(cast(Hashable, kind)).validate_python(value)
    return found
