"""Tables of plug-ins: name → ``"module:Class"``, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from components.errors import ModelError


def plugin(table: Mapping[str, str], name: str, what: str) -> Any:
    """Return the class of a name.

    Arguments:
        table: name → ``"module:Class"``.
        name: of the plug-in.
        what: kind of plug-in, for the error, such as "a task".

    Raises:
        ModelError: the table has no such name.
    """
    if name not in table:
        raise ModelError(f"{what}, one of {', '.join(table)}", found=str(name))
    module, _, kind = table[name].partition(":")
    return getattr(import_module(module), kind)
