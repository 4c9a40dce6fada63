"""A Prefect server of our own for as long as a command needs one, over a database that stays.

Prefect's ephemeral mode loses history and times out under load (docs/decisions/0002), so a command
starts a real server as its child. Commands that run at the same time on one storage root share it:
each leaves a note with its process id, and the last one to go stops the server.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from components import telemetry
from components.errors import UnavailableError
from components.files import write_json
from flows.settings import Settings

STARTUP_TIMEOUT_S = 120.0


def configure(settings: Settings) -> None:
    """Point Prefect at the storage root, before Prefect is imported; what the user has set stays."""
    telemetry.switch_off()
    defaults = {
        "PREFECT_HOME": str(settings.prefect_home),
        "PREFECT_LOCAL_STORAGE_PATH": str(settings.prefect_home / "results"),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the command says what failed, in one line
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_CLIENT_MAX_RETRIES": "4",  # a server that is gone is waited for about half a minute
        "PREFECT_CLI_PROMPT": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def prefect_api(settings: Settings) -> Iterator[str]:
    """Yield the address of a Prefect API: the user's own server, or one shared by this storage root.

    Sets `PREFECT_API_URL` meanwhile.

    Raises:
        UnavailableError: the server did not become healthy.
    """
    configure(settings)
    if url := os.environ.get("PREFECT_API_URL"):
        if not _healthy(url):
            raise UnavailableError(
                "a Prefect server at PREFECT_API_URL",
                found=f"no answer from {url}",
                mend="start it, or unset the variable",
            )
        yield url
        return
    settings.prefect_home.mkdir(parents=True, exist_ok=True)
    note = settings.prefect_home / "users" / str(os.getpid())
    with _locked(settings.prefect_home):
        url = _running(settings.prefect_home) or _start(settings.prefect_home)
        note.parent.mkdir(exist_ok=True)
        note.touch()
    os.environ["PREFECT_API_URL"] = url
    try:
        yield url
    finally:
        _flush()
        del os.environ["PREFECT_API_URL"]
        with _locked(settings.prefect_home):
            note.unlink(missing_ok=True)
            if not _others(note.parent):
                _stop(settings.prefect_home)


def _flush() -> None:
    """Let Prefect send what it holds back, logs and events, while the server is still there."""
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=10, at_exit=False)


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _others(notes: Path) -> list[int]:
    """Process ids of the commands that still use the server; notes of dead ones are removed."""
    alive = []
    for note in notes.iterdir():
        if psutil.pid_exists(int(note.name)):
            alive.append(int(note.name))
        else:
            note.unlink(missing_ok=True)
    return alive


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310 - http(s) API address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _running(home: Path) -> str | None:
    """The address in the server's note, if that server is alive and answers."""
    note = home / "server.json"
    if not note.exists():
        return None
    described = json.loads(note.read_text())
    url = str(described["url"])
    return url if psutil.pid_exists(described["pid"]) and _healthy(url) else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(home: Path) -> str:
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    log = home / "server.log"
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as sink:
        # A session of its own: Ctrl-C stops the command, which then stops the server in order.
        server = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
    deadline = time.monotonic() + STARTUP_TIMEOUT_S
    while not _healthy(url):
        if server.poll() is not None or time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            state = "it ended" if server.returncode is not None else f"no answer in {STARTUP_TIMEOUT_S:.0f} s"
            raise UnavailableError("Prefect's server to start", found=state, mend=f"read {log}")
        time.sleep(0.2)
    write_json(home / "server.json", {"pid": server.pid, "url": url})
    return url


def _stop(home: Path) -> None:
    """Ask the server to end, insist after 15 s; its database is whole either way."""
    note = home / "server.json"
    if not note.exists():
        return
    pid = int(json.loads(note.read_text())["pid"])
    note.unlink()
    with contextlib.suppress(psutil.NoSuchProcess):
        server = psutil.Process(pid)
        family = [server, *server.children(recursive=True)]
        server.send_signal(signal.SIGINT)
        for process in psutil.wait_procs(family, timeout=15)[1]:
            process.kill()
