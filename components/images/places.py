"""Reachability of hosts and mounts, so that a dead one costs its own images, not the whole run."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from components.errors import OutageError
from components.images.names import local_path

MAX_FAILURES = 3  # in a row, after which a place is not asked any more
RETRY_S = 60.0  # after which it is asked again, once


def place_of(uri: str) -> str:
    """Name the host or mount of an address: ``https://host:port``, ``s3://bucket`` or a folder."""
    path = local_path(uri)
    if path is None:
        scheme, _, rest = uri.partition("://")
        return f"{scheme}://{urlsplit(f'//{rest}').netloc.rpartition('@')[2]}"
    return _mount_of(path.rpartition("/")[0])


@lru_cache(maxsize=4096)
def _mount_of(folder: str) -> str:
    return max(
        (mount for mount in _mounts() if f"{folder}/".startswith(f"{mount.rstrip('/')}/")), key=len
    )


def _mounts() -> tuple[str, ...]:
    """Return the folders at which file systems are mounted, read without touching any of them."""
    try:
        lines = (
            Path("/proc/self/mountinfo")
            .read_text(encoding="utf-8", errors="surrogateescape")
            .splitlines()
        )
    except OSError:
        return ("/",)
    # octal escapes of spaces and the like, see proc(5)
    return (
        "/",
        *(
            re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4])
            for line in lines
        ),
    )


class Silence:
    """Remembers folders and mounts that did not answer, so that not each file is waited for.

    A folder that does not answer is passed over for `RETRY_S`; so is the mount that it is on after
    `MAX_FAILURES` of its folders in a row. That is never the root, where a link may have led to
    another mount.

    Arguments:
        clock: seconds that only ever grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._until: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def covers(self, path: str) -> bool:
        """Tell whether a file need not be asked for."""
        folder = path.rpartition("/")[0]
        with self._lock:
            return self._clock() < max(
                self._until.get(place, 0.0) for place in (folder, _mount_of(folder))
            )

    def begin(self, path: str) -> None:
        """Note that a file's folder did not answer."""
        folder = path.rpartition("/")[0]
        mount, until = _mount_of(folder), self._clock() + RETRY_S
        with self._lock:
            self._until[folder] = until
            self._failures[mount] = self._failures.get(mount, 0) + 1
            if mount != "/" and self._failures[mount] >= MAX_FAILURES:
                self._until[mount] = until

    def end(self, path: str) -> None:
        """Note that a file's folder answers."""
        with self._lock:
            self._failures.pop(_mount_of(path.rpartition("/")[0]), None)


class Places:
    """Counts what fails by place, over one run; its methods may be called from several threads.

    A place that fails `MAX_FAILURES` times in a row is taken for dead and asked again once in
    `RETRY_S`.

    Arguments:
        uris: of all images of the run.
        keep_going: an outage costs the image, and a dead place its images while another place is
            left. Otherwise the first outage of a store ends the run, and so does a dead mount.
        clock: seconds that only ever grow.
    """

    def __init__(
        self,
        uris: Iterable[str],
        *,
        keep_going: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep_going, self._clock, self._lock = keep_going, clock, threading.Lock()
        self._failures = dict.fromkeys(map(place_of, uris), 0)
        self._retry_at: dict[str, float] = {}

    @contextmanager
    def asking(self, uri: str) -> Iterator[None]:
        """Guard a block that reads an address; one whose place is known to be dead is not read.

        Raises:
            OutageError: the place does not answer.
        """
        place = place_of(uri)
        with self._lock:
            dead = self._failures.get(place, 0) >= MAX_FAILURES
            if dead and self._clock() < self._retry_at[place]:
                raise OutageError(
                    f"an answer of {place}", found=f"{uri}: none to {MAX_FAILURES} images before it"
                )
            if dead:
                self._retry_at[place] = self._clock() + RETRY_S
        try:
            yield
        except OutageError:
            with self._lock:
                self._failures[place] = self._failures.get(place, 0) + 1
                self._retry_at[place] = self._clock() + RETRY_S
            raise
        with self._lock:
            self._failures[place] = 0

    def excuses(self, uri: str) -> bool:
        """Tell whether the run goes on after an address could not be reached, without its image."""
        with self._lock:
            dead = {place for place, failures in self._failures.items() if failures >= MAX_FAILURES}
            if place_of(uri) in dead:
                return self._keep_going and len(dead) < len(self._failures)
            return self._keep_going or local_path(uri) is not None
