"""Stores behind URLs: asked again with back-off when they stumble, given up on in time, and never shown a password."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from components.credentials import has_credentials
from components.errors import ConfigError, UnavailableError

WAITS_S = (0.5, 1.0, 2.0)
ANSWER_S = 30.0  # for one file or listing; a store that takes longer is taken for gone
_BROKEN = {
    errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.EIO,
    errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT,
}  # fmt: skip
_BROKEN_CLASSES = {
    "ClientConnectionError",
    "ConnectionError",
    "HTTPClientError",
    "TimeoutError",
}  # of HTTP and S3 clients
_BROKEN_STATUS = {408, 429, 500, 502, 503, 504}


def open_remote(url: str) -> tuple[Any, str]:
    """The file system behind a URL, and the path in it.

    Raises:
        ConfigError: the URL holds a user or a password, which would be stored with every result.
        UnavailableError: its scheme needs a package that is not installed.
    """
    import fsspec

    require_no_credentials(url)
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise UnavailableError(f"a package that reads {url.partition('://')[0]}://", found=reason(error)) from error
    return filesystem, str(path)


def require_no_credentials(url: str) -> None:
    """Refuse a URL that holds a user or a password.

    Raises:
        ConfigError: it does.
    """
    if has_credentials(url):
        scheme = url.partition("://")[0].upper()
        raise ConfigError(
            "a URL without a user and a password, which would be kept with results and in histories",
            found=url,
            mend=f'give them to fsspec in the environment, e.g. FSSPEC_{scheme}=\'{{"key": …, "secret": …}}\'',
        )


def ask(filesystem: Any, method: str, *arguments: Any, within: float | None = ANSWER_S, **named: Any) -> Any:
    """Call a method of a store, up to four times within seconds while the store, and not what is asked for, fails.

    Arguments:
        filesystem: of fsspec.
        method: its name, such as ``"cat_file"``.
        arguments: its arguments.
        within: seconds that each call may take, on stores that fsspec talks to asynchronously; None leaves it to them.
        named: its named arguments.

    Raises:
        UnavailableError: the store refuses, does not answer or fails. What it says of a file, such as that it is
            missing, passes as the store raises it.
    """
    call = _bounded(filesystem, method, within)
    for wait in (*WAITS_S, None):
        try:
            return call(*arguments, **named)
        except Exception as error:
            if not is_outage(error):
                raise
            if wait is None or isinstance(error, TimeoutError):
                raise UnavailableError(
                    f"an answer of the store behind {_protocol(filesystem)}",
                    found=f"{' '.join(map(str, arguments))}: {reason(error)}",
                    mend="bring it back; a run that is started again goes on where it stopped",
                ) from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def is_outage(error: Exception) -> bool:
    """Whether the store is at fault, so that asking again may help, and not what it was asked for."""
    if isinstance(error, FileNotFoundError):  # which some stores say when they could not ask
        return isinstance(error.__cause__, Exception) and is_outage(error.__cause__)
    status = next((vars(error)[name] for name in ("status", "status_code", "code") if name in vars(error)), None)
    kinds = {base.__name__ for base in type(error).__mro__}
    return status in _BROKEN_STATUS or getattr(error, "errno", None) in _BROKEN or bool(kinds & _BROKEN_CLASSES)


def is_file(filesystem: Any, path: str) -> bool:
    """Whether a store has a file at a path; what fails otherwise, the listing will tell.

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


def _bounded(filesystem: Any, method: str, within: float | None) -> Callable[..., Any]:
    from fsspec.asyn import sync

    coroutine = getattr(filesystem, f"_{method}", None)
    if not getattr(filesystem, "async_impl", False) or not iscoroutinefunction(coroutine):
        plain: Callable[..., Any] = getattr(filesystem, method)
        return plain
    return lambda *arguments, **named: sync(filesystem.loop, coroutine, *arguments, timeout=within, **named)


def _protocol(filesystem: Any) -> str:
    protocol = filesystem.protocol
    return f"{protocol if isinstance(protocol, str) else protocol[0]}://"
