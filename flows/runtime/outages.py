"""Failures of the machine or server under a command, named so whatever exception surfaced."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import FovealError, InputError, UnavailableError
from flows.runtime.settings import Settings

RESUME = "run the same command again, which repeats nothing that is finished"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MIN_FREE = 1 << 20  # bytes; whatever fails with less is taken for a consequence
_CLIENTS = {"anyio", "httpcore", "httpx", "prefect"}


@contextmanager
def outages_named(settings: Settings, prefect_url: str | None = None) -> Iterator[None]:
    """Raise a failure inside the block as its cause: a full disk, or a Prefect server that is gone.

    Arguments:
        settings: the places that are written to.
        prefect_url: the API that flows in the block report to.

    Raises:
        UnavailableError: one of these was the cause; other exceptions pass as they are.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        cause = full_disk(error, settings) or (prefect_url and _prefect_gone(error, prefect_url))
        if not cause:
            raise
        raise cause from error


def full_disk(error: Exception, settings: Settings) -> UnavailableError | None:
    """The error to raise when a disk without space is behind another one, else None."""
    places = (*_written(error), _existing(settings.root), Path(tempfile.gettempdir()))
    free = {place: shutil.disk_usage(place).free for place in places}
    found = [
        f"{left / 1e6:.1f} MB free on the disk of {place}"
        for place, left in free.items()
        if left < _MIN_FREE
    ]
    if not found and isinstance(error, OSError) and error.errno in FULL:
        found = [f"{error.filename or settings.root}: {error.strerror}"]
    return (
        UnavailableError("space to write", found=found[0], hint=f"free some, then {RESUME}")
        if found
        else None
    )


def _written(error: BaseException | None) -> list[Path]:
    """The place of the file that could not be written, where an error or one behind it names it."""
    while error:
        if isinstance(error, OSError) and error.errno in FULL and error.filename:
            return [_existing(Path(os.fsdecode(error.filename)).absolute())]
        error = error.__cause__ or error.__context__
    return []


def require_registry(settings: Settings) -> None:
    """Find within seconds, before any work, that the MLflow server of the environment is not there.

    Raises:
        RegistryError: it does not answer.
    """
    if not settings.embedded_tracking:
        settings.registry()


def _prefect_gone(error: Exception, url: str) -> UnavailableError | None:
    """The error to raise when Prefect's server is behind another one, else None."""
    import httpx

    try:
        httpx.get(f"{url}/health", timeout=30).raise_for_status()
    except httpx.HTTPError:
        return UnavailableError(
            "Prefect's server to answer until the end",
            found=f"no answer from {url} in "
            f"{1 + int(os.environ.get('PREFECT_CLIENT_MAX_RETRIES', '4'))} tries",
            hint=f"start it again if it is yours, then {RESUME}",
        )
    if isinstance(error, FovealError) or type(error).__module__.partition(".")[0] not in _CLIENTS:
        return None
    words = " ".join(str(error).split())[:300]
    return UnavailableError(
        "Prefect's server to take what a flow reports",
        found=words,
        hint=f"read its log, then {RESUME}",
    )


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())
