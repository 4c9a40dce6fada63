"""Read a target from TOML and say exactly what is wrong with it."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeGuard

from components.contracts import Budget, Precision, Target
from components.errors import ConfigError
from components.regular import read_regular_text
from components.targets.accelerators import EXECUTION_PROVIDERS

BUILT_IN = ("mobile", "embedded", "edge_server", "workstation")


@dataclass(frozen=True)
class _Kind:
    """Requirement on a value: in words for the message, and as a test."""

    words: str
    holds: Callable[[object], bool]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_names(value: object) -> TypeGuard[list[str]]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        return False
    return len(set(value)) == len(value)


_TEXT = _Kind("a text", lambda value: isinstance(value, str) and bool(value))
_FLAG = _Kind("true or false", lambda value: isinstance(value, bool))
_COUNT = _Kind(
    "a whole number from 0 (all cores) up",
    lambda v: isinstance(v, int) and _is_number(v) and v >= 0,
)
_NAMES = _Kind("a list of different names", _is_names)
_SOME_NAMES = _Kind(
    "a list of different names, at least one", lambda value: _is_names(value) and bool(value)
)
_POSITIVE = _Kind("a number above 0", lambda value: _is_number(value) and value > 0)
_SHARE = _Kind("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
_TABLE = _Kind("a table [budget]", lambda value: isinstance(value, dict))

_REQUIRED = {"backends": _SOME_NAMES, "precisions": _SOME_NAMES}
_OPTIONAL = {
    "name": _TEXT,
    "description": _TEXT,
    "device": _TEXT,
    "threads": _COUNT,
    "accelerators": _NAMES,
    "measured_on_host": _FLAG,
    "budget": _TABLE,
}
_BUDGET = {
    "p95_ms": _POSITIVE,
    "size_mb": _POSITIVE,
    "peak_rss_mb": _POSITIVE,
    "max_accuracy_drop": _SHARE,
}


def load_target(name_or_path: str | Path) -> Target:
    """A built-in target by its name, or the user's own from a `.toml` file.

    Arguments:
        name_or_path: one of `BUILT_IN`, or the path of a TOML file; the file's stem is the target's
            name unless the file gives one.

    Raises:
        ConfigError: there is no such target, or the file is not a valid target.
    """
    given = str(name_or_path)
    if given in BUILT_IN:
        text = (resources.files(__package__) / f"{given}.toml").read_text(encoding="utf-8")
        return _parse(text, given, where=f"the built-in target {given}")
    path = Path(given)
    if path.suffix != ".toml":
        raise ConfigError(
            f"a target: {', '.join(BUILT_IN)}, or the path of a .toml file",
            found=repr(given),
            hint=_did_you_mean(given, BUILT_IN),
        )
    try:
        text = read_regular_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "a target as a UTF-8 TOML file", found=f"{path}: {error}", hint="check the path"
        ) from error
    return _parse(text, path.stem, where=str(path))


def _parse(text: str, stem: str, *, where: str) -> Target:
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError("a target in TOML", found=f"{where}: {error}") from error
    _check(values, {**_REQUIRED, **_OPTIONAL}, where)
    for key, kind in _REQUIRED.items():
        if key not in values:
            raise ConfigError(f"{key} = {kind.words} in {where}", found="none", hint=f"add {key}")
    budget = values.get("budget", {})
    _check(budget, _BUDGET, f"[budget] of {where}")
    return Target(
        name=values.get("name", stem),
        description=values.get("description", ""),
        backends=tuple(values["backends"]),
        device=values.get("device", "cpu"),
        threads=values.get("threads", 0),
        precisions=_precisions(values["precisions"], where),
        budget=Budget(**{key: float(value) for key, value in budget.items()}),
        accelerators=_known(
            values.get("accelerators", []), EXECUTION_PROVIDERS, "accelerators", where
        ),
        measured_on_host=values.get("measured_on_host", False),
    )


def _check(values: Mapping[str, object], kinds: Mapping[str, _Kind], where: str) -> None:
    """Raise unless every key is known and every value is of its kind."""
    for key, value in values.items():
        if key not in kinds:
            raise ConfigError(
                f"only the keys {', '.join(kinds)} in {where}",
                found=repr(key),
                hint=_did_you_mean(key, kinds),
            )
        if not kinds[key].holds(value):
            raise ConfigError(f"{key} = {kinds[key].words} in {where}", found=repr(value))


def _known(names: Sequence[str], known: Iterable[str], key: str, where: str) -> tuple[str, ...]:
    """The names, all of which are among the known ones."""
    known = tuple(known)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{key} out of {', '.join(known)} in {where}",
                found=repr(name),
                hint=_did_you_mean(name, known),
            )
    return tuple(names)


def _precisions(names: list[str], where: str) -> tuple[Precision, ...]:
    _known(names, [precision.value for precision in Precision], "precisions", where)
    if Precision.FP32 not in names:
        raise ConfigError(
            f"fp32 among the precisions in {where}",
            found=f"precisions = {names}",
            hint="add fp32: it is what the others are compared with and what ships when none of "
            "them is better",
        )
    return tuple(Precision(name) for name in names)


def _did_you_mean(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""
