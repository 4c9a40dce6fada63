"""Names of files that can be printed and stored, and lead back to the file whatever their bytes."""

from __future__ import annotations

import os
from urllib.parse import quote, unquote_to_bytes

from components.printing import printed, steers

_FILE = "file://"


def printable(name: str) -> str:
    r"""Return a name in which every character can be printed.

    Ordinary names stay as they are, spaces of all kinds included.

    A byte that is not UTF-8 and a control character become ``\xNN``, other characters that steer a
    terminal ``\uNNNN``, and a backslash is doubled, so that no two names become the same and
    `original` gives the name back.
    """
    return printed(name.replace("\\", "\\\\"))


def original(text: str) -> str:
    """The name of which `printable` made a text."""
    parts = text.split("\\")
    name, rest = [parts[0]], iter(parts[1:])
    for part in rest:
        if not part:  # two in a row
            name += ["\\", next(rest, "")]
        elif part[0] == "x":
            code = int(part[1:3], 16)
            name += [chr(code if code < 0x80 else 0xDC00 + code), part[3:]]
        else:
            name += [chr(int(part[1:5], 16)), part[5:]]
    return "".join(name)


def local_uri(path: str) -> str:
    """Return the address of a local file as it is stored.

    It is the path, or a file URL (RFC 8089) where that cannot be printed.
    """
    return _FILE + quote(os.fsencode(path)) if steers(path) else path


def local_path(uri: str) -> str | None:
    """Return the local path from the address that `local_uri` made; None for one elsewhere."""
    if uri.startswith(_FILE):
        return os.fsdecode(unquote_to_bytes(uri.removeprefix(_FILE)))
    return None if "://" in uri else uri
