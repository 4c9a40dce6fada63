"""Access stores behind URLs with retries, limits on time and size, and redacted credentials."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar

from components.credentials import has_credentials
from components.daemons import call_within
from components.errors import ConfigError, OutageError, UnavailableError
from components.limits import Limits, OversizeError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

R = TypeVar("R")

WAITS_S = (0.5, 1.0, 2.0)
_HEAD = 64  # bytes that tell what kind of file it is
_BROKEN = {
    errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH,
    errno.EIO, errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT,
}  # fmt: skip
# of HTTP and S3 clients
_BROKEN_CLASSES = {"ClientConnectionError", "ConnectionError", "HTTPClientError", "TimeoutError"}
_BROKEN_STATUS = {408, 429, 500, 502, 503, 504}


def open_remote(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system behind a URL, and the path in it.

    Raises:
        ConfigError: the URL holds a user or a password, which would be stored with every result.
        UnavailableError: its scheme needs a package that is not installed.
    """
    import fsspec

    require_no_credentials(url)
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        if _speaks_http(filesystem):
            from components.images.http import BoundedHTTPFileSystem

            filesystem = BoundedHTTPFileSystem(**filesystem.storage_options)
    except ImportError as error:
        raise UnavailableError(
            f"a package that reads {url.partition('://')[0]}://", found=reason(error)
        ) from error
    return filesystem, str(path)


def require_no_credentials(url: str) -> None:
    """Refuse a URL that holds a user or a password.

    Raises:
        ConfigError: it does.
    """
    if has_credentials(url):
        scheme = url.partition("://")[0].upper()
        raise ConfigError(
            "a URL without a user and a password, which would be kept with results and in "
            "histories",
            found=url,
            hint=f'give them to fsspec in the environment, e.g. FSSPEC_{scheme}=\'{{"key": …, '
            f'"secret": …}}\'',
        )


def ask(
    filesystem: AbstractFileSystem,
    method: str,
    *arguments: object,
    bounded: bool = True,
    **named: object,
) -> Any:
    """Call a method of a store, up to four times within seconds while the store itself fails.

    Arguments:
        filesystem: of fsspec.
        method: its name, such as ``"cat_file"``.
        arguments: its arguments.
        bounded: each call may take as long as `Limits` says, and not as long as it likes.
        named: its named arguments.

    Raises:
        OutageError: the store refuses, does not answer or fails. What it says of a file, such as
            that it is missing, passes as the store raises it.
    """
    within = Limits.from_environment().seconds if bounded else None
    return _persistently(filesystem, _bounded(filesystem, method, within), *arguments, **named)


def fetch(url: str, limit: int) -> bytes:
    """The content of a file in a store, however much the store would like to send.

    Raises:
        ConfigError: the URL holds a password.
        UnavailableError: its scheme needs a package that is not installed.
        OutageError: the store does not answer.
        OversizeError: it is larger than the limit, in bytes.
    """
    filesystem, path = open_remote(url)
    if not _speaks_http(filesystem):  # it reads what it is asked for and no more
        content: bytes = ask(filesystem, "cat_file", path, start=0, end=limit + 1)
        if len(content) > limit:
            raise OversizeError(content[:_HEAD], partial(_listed_size, filesystem, path))
        return content
    from fsspec.asyn import sync

    within = Limits.from_environment().seconds
    download = partial(sync, filesystem.loop, filesystem.download, timeout=within)
    body: bytes = _persistently(filesystem, lambda address: download(address, limit), path)
    return body


def _speaks_http(filesystem: Any) -> bool:
    protocols = (
        (filesystem.protocol,) if isinstance(filesystem.protocol, str) else filesystem.protocol
    )
    return "http" in protocols


def _listed_size(filesystem: AbstractFileSystem, path: str) -> int | None:
    size = ask(filesystem, "info", path).get("size")
    return None if size is None else int(size)


def _persistently(
    filesystem: AbstractFileSystem, call: Callable[..., R], *arguments: object, **named: object
) -> R:
    """Make a call up to four times while the store, and not what is asked for, fails."""
    for wait in (*WAITS_S, None):
        try:
            return call(*arguments, **named)
        except Exception as error:
            if not is_outage(error):
                raise
            if wait is None or isinstance(error, TimeoutError):
                raise OutageError(
                    f"an answer of the store behind {_protocol(filesystem)}",
                    found=f"{' '.join(map(str, arguments))}: {reason(error)}",
                    hint="bring it back; a run that is started again goes on where it stopped",
                ) from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def is_outage(error: Exception) -> bool:
    """Tell whether the store is at fault and not the request, so that asking again may help."""
    if isinstance(error, FileNotFoundError):  # which some stores say when they could not ask
        return isinstance(error.__cause__, Exception) and is_outage(error.__cause__)
    status = next(
        (vars(error)[name] for name in ("status", "status_code", "code") if name in vars(error)),
        None,
    )
    kinds = {base.__name__ for base in type(error).__mro__}
    return (
        status in _BROKEN_STATUS
        or getattr(error, "errno", None) in _BROKEN
        or bool(kinds & _BROKEN_CLASSES)
    )


def is_file(filesystem: AbstractFileSystem, path: str) -> bool:
    """Tell whether a store has a file at a path; other failures are left to the listing.

    Raises:
        UnavailableError: the store is not to be reached. fsspec's own `isfile` would say no.
    """
    try:
        return bool(ask(filesystem, "info", path)["type"] == "file")
    except UnavailableError:
        raise
    except Exception:
        return False


def reason(error: Exception) -> str:
    """An exception of another library as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _bounded(
    filesystem: AbstractFileSystem, method: str, within: float | None
) -> Callable[..., object]:
    from fsspec.asyn import sync

    coroutine = getattr(filesystem, f"_{method}", None)
    if not getattr(filesystem, "async_impl", False) or not iscoroutinefunction(coroutine):
        plain: Callable[..., object] = getattr(filesystem, method)
        if within is None:
            return plain
        return lambda *arguments, **named: call_within(within, partial(plain, *arguments, **named))
    return lambda *arguments, **named: sync(
        filesystem.loop, coroutine, *arguments, timeout=within, **named
    )


def _protocol(filesystem: AbstractFileSystem) -> str:
    protocol = filesystem.protocol
    return f"{protocol if isinstance(protocol, str) else protocol[0]}://"
