"""Processes of servers that run beside a command: their answers, their last lines and their end."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

import psutil

STARTUP_TIMEOUT_S = 300.0  # a server takes seven seconds on an idle machine


def answers(url: str) -> bool:
    """Tell whether a GET of an http(s) address gives 200."""
    return status(url) == HTTPStatus.OK


def status(url: str, headers: Mapping[str, str] | None = None) -> int | None:
    """The status that a GET of an http(s) address gives; None without an answer."""
    try:
        request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - http(s) address of a server
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, HTTPException, OSError, ValueError):
        return None


def comes_up(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until a server that was just started answers; False if it ends or takes too long."""
    deadline = time.monotonic() + STARTUP_TIMEOUT_S
    while not answers(url):
        if server.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def free_port() -> int:
    """A port of the loopback interface that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log that tells why a server ended, as one line."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        return " | ".join([line for line in lines if line][-count:]) or "nothing in its log"
    return "no log"


def end_family(pid: int, *, grace_s: float) -> None:
    """Ask a process to end, then its remaining descendants; insist on all, and wait for their end.

    Arguments:
        pid: head of the family; one that is gone already is fine.
        grace_s: how long the head has to end in order; the others have up to 3 s after it.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        head = psutil.Process(pid)
        rest = head.children(recursive=True)
        for members, patience_s in (([head], grace_s), (rest, min(grace_s, 3.0))):
            for member in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.terminate()
            for stubborn in psutil.wait_procs(members, timeout=patience_s)[1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    stubborn.kill()
        psutil.wait_procs([head, *rest], timeout=5)


def lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that has ended and is not waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def describe(pid: int) -> str:
    """Name a process, as ``"process 812 (python -m http.server)"``; options may hold secrets."""
    try:
        words = itertools.takewhile(
            lambda word: not word.startswith("--"), psutil.Process(pid).cmdline()
        )
        return f"process {pid} ({' '.join(words)[:80]})"
    except psutil.Error:
        return f"process {pid}"
