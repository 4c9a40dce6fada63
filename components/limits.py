"""Limits on the size of foreign files and stores and on reading time; set in the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from components.errors import ConfigError

_MB = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Bounds of every read of something that came from outside.

    Arguments:
        bytes: of one encoded file, and of all large ones that are in memory at once.
        pixels: of one image, and of all that are being decoded at once.
        seconds: for one file, folder or answer of a store.
    """

    bytes: int
    pixels: int
    seconds: float

    @classmethod
    def from_environment(cls) -> Self:
        """Read the limits from the environment.

        They are `FOVEAL_MAX_FILE_MB` (512), `FOVEAL_MAX_MEGAPIXELS` (200) and
        `FOVEAL_READ_TIMEOUT_S` (30).

        Raises:
            ConfigError: one of them is no positive number.
        """
        return cls(
            bytes=int(
                _number("FOVEAL_MAX_FILE_MB", os.environ.get("FOVEAL_MAX_FILE_MB"), 512) * _MB
            ),
            pixels=int(
                _number("FOVEAL_MAX_MEGAPIXELS", os.environ.get("FOVEAL_MAX_MEGAPIXELS"), 200) * _MB
            ),
            seconds=_number("FOVEAL_READ_TIMEOUT_S", os.environ.get("FOVEAL_READ_TIMEOUT_S"), 30),
        )


class OversizeError(Exception):
    """More came than was asked for.

    Arguments:
        head: the first bytes.
        size: asks for the size of the whole, in bytes, and gives None where nobody knows.
    """

    def __init__(self, head: bytes, size: Callable[[], int | None]) -> None:
        super().__init__("more bytes than the limit")
        self.head, self.size = head, size


def _number(name: str, given: str | None, default: float) -> float:
    if not given:
        return default
    try:
        value = float(given)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ConfigError(
            f"a positive number in {name}",
            found=repr(given),
            hint=f"set it, e.g. {name}={default:g}",
        )
    return value
