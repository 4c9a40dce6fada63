"""Read encoded images so that no file, however made, takes the memory or time of the others."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from components.daemons import call_within
from components.errors import ConfigError, ImageError, OutageError, UnavailableError
from components.images.budget import Budget
from components.images.names import local_path
from components.images.places import Silence
from components.images.remote import fetch, reason
from components.limits import Limits, OversizeError
from components.regular import open_regular, read_regular, require_size

_SMALL = 8_000_000  # bytes; so many for each thread at once need no permission
_HEAD = 64  # bytes that tell an image from other files

_large = Budget()
_silence = Silence()

Check = Callable[[bytes], object]


@contextmanager
def holding(uri: str, check: Check = len) -> Iterator[bytes]:
    """The bytes of a file for the block; large ones wait until there is memory for them.

    Arguments:
        uri: a local path, or a URL that fsspec knows.
        check: is given the first bytes of a large file before the rest is read, and raises if that
            is in vain.

    Raises:
        ImageError: it is missing, no regular file, larger than `Limits` allows, or cannot be read.
        ConfigError: the URL holds a password.
        UnavailableError: the URL's scheme needs a package that is not installed.
        OutageError: the store or the mount that it is on does not answer.
    """
    limits = Limits.from_environment()
    path = local_path(uri)
    read = partial(_read_local, path, limits) if path is not None else partial(_read_remote, uri)
    with _translated(uri, local=path is not None):
        small, head, size = read(min(_SMALL, limits.bytes))
        if small is None:
            require_size(size, limits.bytes, uri)
            check(head)
    if small is not None:
        yield small
        return
    with _large.hold(size, limits.bytes):
        with _translated(uri, local=path is not None):
            content, *_ = read(limits.bytes)
            if content is None:
                require_size(None, limits.bytes, uri)
        yield content or b""


# the content, or the first bytes of what is larger, and the size
Read = tuple[bytes | None, bytes, int]


def _read_local(path: str, limits: Limits, limit: int) -> Read:
    return call_within(limits.seconds, partial(_read_file, path, limit))


def _read_file(path: str, limit: int) -> Read:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            return None, file.read(_HEAD), size
    return read_regular(path, limit), b"", size


def _read_remote(url: str, limit: int) -> Read:
    try:
        return fetch(url, limit), b"", 0
    except OversizeError as error:
        # unknown: as much as there may be
        return None, error.head, error.size() or Limits.from_environment().bytes


@contextmanager
def _translated(uri: str, *, local: bool) -> Iterator[None]:
    """Turn what reading raises into one of our errors that names the file."""
    check = "check the path" if local else "check the URL and your access to it"
    try:
        yield
    except (ConfigError, UnavailableError, ImageError):
        raise
    except TimeoutError as error:
        raise OutageError(
            "an answer of the disk or the share",
            found=f"{uri}: {reason(error)}",
            hint="look at its mount",
        ) from error
    except OSError as error:
        hint = "scale the image, or raise the limit" if error.errno == errno.EOVERFLOW else check
        raise ImageError(
            "a readable file", found=f"{uri}: {error.strerror or reason(error)}", hint=hint
        ) from error
    except Exception as error:
        # each store raises errors of its own; ValueError: a null byte in a path
        raise ImageError("a readable file", found=f"{uri}: {reason(error)}", hint=check) from error


def stat_file(uri: str) -> os.stat_result | None:
    """Return size and time of a local file; None if it is remote, absent or does not answer.

    A mount that did not answer is not asked for its other files for a while; see `Silence`.
    """
    path = local_path(uri)
    if path is None or _silence.covers(path):
        return None
    try:
        found = call_within(Limits.from_environment().seconds, partial(os.stat, path))
    except TimeoutError:
        _silence.begin(path)
        return None
    except (OSError, ValueError):
        return None
    _silence.end(path)
    return found


def stat_files(uris: Sequence[str]) -> list[os.stat_result | None]:
    """Return what `stat_file` does of each file, in one call for all where their mounts answer."""
    paths = [local_path(uri) for uri in uris]
    folders = {f"{path.rpartition('/')[0]}/" for path in paths if path is not None}
    if not any(map(_silence.covers, folders)):
        try:
            call = partial(list[os.stat_result | None], map(_stat, paths))
            return call_within(Limits.from_environment().seconds, call)
        except TimeoutError:
            pass  # one of them hangs: each is asked on its own
    return [stat_file(uri) for uri in uris]


def _stat(path: str | None) -> os.stat_result | None:
    try:
        return None if path is None else os.stat(path)
    except (OSError, ValueError):
        return None


def read_bytes(uri: str) -> bytes:
    """Read a whole file; arguments and errors are those of `holding`."""
    with holding(uri) as content:
        return content
