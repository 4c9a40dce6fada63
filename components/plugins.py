"""Tables of plug-ins: name → ``"module:Class"``, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from components.errors import FovealError, ModelError


def plugin(
    table: Mapping[str, str], name: str, what: str, kind: type[FovealError] = ModelError
) -> Any:
    """Return the class of a name.

    Arguments:
        table: name → ``"module:Class"``.
        name: of the plug-in.
        what: kind of plug-in, for the error, such as "a task".
        kind: of the error.

    Raises:
        FovealError: of `kind`: the table has no such name.
    """
    if name not in table:
        raise kind(f"{what}, one of {', '.join(table)}", found=str(name))
    module, _, name = table[name].partition(":")
    return getattr(import_module(module), name)
