"""Text from outside, such as file names and other libraries' words, as a terminal may have it."""

from __future__ import annotations

import re
from pathlib import Path

# Controls, stray surrogates (bytes that are not UTF-8), ends of lines and paragraphs, what turns
# the text around it.
_STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printed(text: str) -> str:
    r"""Escape what would steer a terminal as ``\xNN`` or ``\uNNNN``; all else stays as it is."""
    return _STEERS.sub(lambda found: escape(found[0]), text)


def escape(character: str) -> str:
    r"""Escape a character as ``\xNN`` if below 128 or a non-UTF-8 byte, else as ``\uNNNN``."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def steers(text: str) -> bool:
    """Tell whether a text holds something that `printed` would replace."""
    return _STEERS.search(text) is not None


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 image", "2 images", "1 class", "2 classes"."""
    return (
        f"{count:,} {noun}"
        if count == 1
        else f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"
    )


def short_path(path: Path) -> str:
    """Return a path as a person in the working directory would type it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
