"""Read JSON and YAML that others wrote: regular files of bounded size, each failure in one line."""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from components.errors import DatasetError, InputError
from components.regular import open_regular

MAX_JSON_BYTES = 2**31
MAX_YAML_BYTES = 10 * 2**20  # PyYAML reads about one megabyte a second
# once aliases are written out: a few lines of them can stand for billions
MAX_YAML_VALUES = 1_000_000
_DEEP = "values that are nested too deeply"

_short = reprlib.Repr()
_short.maxlevel, _short.maxdict, _short.maxlist, _short.maxtuple = 3, 8, 8, 8
_short.maxstring = _short.maxother = _short.maxlong = 80


def shorten(value: object) -> str:
    """Describe a value of any size or depth as `repr` would, in at most some hundred characters."""
    return _short.repr(value)


def read_json(
    path: Path, expected: str, *, hint: str = "", kind: type[InputError] = DatasetError
) -> Any:
    """Read a JSON document.

    Arguments:
        path: of the file.
        expected: what the file should be, for the message.
        hint: what to do where it is not.
        kind: of the error.

    Raises:
        InputError: of `kind`: it cannot be read, is no JSON, is nested too deeply or larger than
            `MAX_JSON_BYTES`.
    """
    return _read(path, json.loads, MAX_JSON_BYTES, (expected, hint, kind))


def read_yaml(
    path: Path, expected: str, *, hint: str = "", kind: type[InputError] = DatasetError
) -> Any:
    """Read YAML as `read_json` reads JSON, at most `MAX_YAML_BYTES` and `MAX_YAML_VALUES`."""
    return _read(path, _parse_yaml, MAX_YAML_BYTES, (expected, hint, kind))


class _Loader(yaml.SafeLoader):
    """PyYAML's own, but for merge keys, a few lines of which can stand for billions of pairs."""

    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        self._merged += len(node.value)
        if self._merged > MAX_YAML_VALUES:
            raise ValueError(f"more than {MAX_YAML_VALUES:,} values, as merge keys repeat others")


def _parse_yaml(text: str) -> object:
    loader = _Loader(text)
    try:
        document = loader.get_single_data()
    finally:
        loader.dispose()
    if _count(document, {}) > MAX_YAML_VALUES:
        raise ValueError(f"more than {MAX_YAML_VALUES:,} values, as aliases repeat others")
    return document


def _count(value: object, known: dict[int, int]) -> int:
    """Count the values of a document, those behind an alias each time.

    A value inside itself counts without end.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = MAX_YAML_VALUES  # while it is counted: whoever meets it now is inside it
        children = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(child, known) for child in children)
    return known[id(value)]


def _read(
    path: Path,
    parse: Callable[[str], object],
    most: int,
    error_of: tuple[str, str, type[InputError]],
) -> object:
    expected, hint, kind = error_of

    def refuse(what: object, cause: Exception | None = None) -> NoReturn:
        raise kind(expected, found=f"{path}: {' '.join(str(what).split())}", hint=hint) from cause

    try:
        with open_regular(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > most:
                refuse(f"{size:,} bytes, more than {most:,}")
            return parse(file.read(most).decode("utf-8-sig"))
    except IsADirectoryError as error:
        refuse("a folder", error)
    except OSError as error:
        refuse(error.strerror or error, error)
    except RecursionError as error:
        refuse(_DEEP, error)
    except (yaml.YAMLError, ValueError) as error:
        refuse(error, error)
    except (LookupError, AttributeError, TypeError) as error:
        # PyYAML's, of `!!bool foo` and the like
        refuse(f"a value that is not what its tag says: {error}", error)
