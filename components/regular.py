"""Regular files only, opened without waiting, and read up to a limit.

A FIFO, a socket or a device that bears the name of an image or a label file would block its reader
or never end.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from components.limits import Limits

_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises:
        OSError: it is missing, may not be read, or is no regular file, which `strerror` says.
    """
    _require_regular(os.stat(path), path)  # opening a device may already do something
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        # what was opened, whatever took the name's place meanwhile
        _require_regular(os.fstat(descriptor), path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | Path, limit: int | None = None) -> bytes:
    """Read a whole regular file.

    Arguments:
        path: of the file.
        limit: in bytes; by default that of `Limits`.

    Raises:
        OSError: as `open_regular`, or the file is larger than the limit.
    """
    limit = Limits.from_environment().bytes if limit is None else limit
    with open_regular(path) as file:
        require_size(os.fstat(file.fileno()).st_size, limit, path)
        content = file.read(limit + 1)
    # it may have grown, or be a file of the kernel, which has no size
    require_size(len(content), limit, path)
    return content


def read_regular_text(path: str | Path, encoding: str = "utf-8") -> str:
    """Read a whole regular file as text, its lines ended by one character as in Python's own files.

    Raises:
        OSError: as `read_regular`.
        UnicodeDecodeError: it is not in this encoding.
    """
    return read_regular(path).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def require_size(size: int | None, limit: int, path: str | Path) -> None:
    """Refuse what is larger than a limit; None is a size that is not known, but larger.

    Raises:
        OSError: it is.
    """
    if size is None or size > limit:
        has = "" if size is None else f"{size / 1e6:,.0f} MB, which is "
        raise OSError(
            errno.EOVERFLOW,
            f"{has}more than the {limit / 1e6:,.0f} MB of FOVEAL_MAX_FILE_MB",
            str(path),
        )


def _require_regular(found: os.stat_result, path: str | Path) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = next((words for test, words in _KINDS if test(found.st_mode)), "something else")
    raise OSError(errno.EINVAL, f"{kind}, not a regular file", str(path))
