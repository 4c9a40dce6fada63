"""A Prefect server of our own for as long as a command needs one, over a database that stays.

Prefect's ephemeral mode loses history and times out under load (docs/decisions/0002), so a command
starts a real server as its child. Commands that run at the same time on one storage root share it:
each leaves a note with its process id, and the last one to go stops the server. While a `foveal up`
is on the root, they use its server instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import psutil
from filelock import FileLock

from components import telemetry
from components.errors import UnavailableError
from components.files import write_json
from flows.runtime.password import CLIENT, password, proof
from flows.runtime.processes import (
    STARTUP_TIMEOUT_S,
    answers,
    comes_up,
    end_family,
    free_port,
    lives,
    status,
)
from flows.runtime.programs import prefect_program
from flows.runtime.root_lock import running_up, sharing, users
from flows.runtime.settings import Settings

HUNG_S = 90.0  # a server that has not answered for longer is not merely busy
GRACE_S = 8.0


def configure(settings: Settings) -> None:
    """Point Prefect at the storage root, before its import; what the user has set stays."""
    telemetry.switch_off()
    defaults = {
        "PREFECT_HOME": str(settings.prefect_home),
        "PREFECT_LOCAL_STORAGE_PATH": str(settings.prefect_home / "results"),
        # the command says what failed, in one line
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # a server that is gone is waited for about half a minute
        "PREFECT_CLIENT_MAX_RETRIES": "4",
        "PREFECT_CLI_PROMPT": "false",
        # its list of fonts would lie in the home folder
        "MPLCONFIGDIR": str(settings.root / "cache" / "matplotlib"),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@dataclass(frozen=True)
class _Api:
    """A Prefect API of ours: its address, and what it asks for."""

    url: str
    password: str | None


@contextlib.contextmanager
def prefect_api(settings: Settings | None = None) -> Iterator[str]:
    """Yield a Prefect API's address: the user's, that of `foveal up`, or one that commands share.

    Sets `PREFECT_API_URL` meanwhile, and for a server of ours `PREFECT_API_AUTH_STRING`.

    Arguments:
        settings: the storage root; by default that of the environment.

    Raises:
        UnavailableError: the server did not become healthy, or it asks for another password.
    """
    settings = settings or Settings.from_environment()
    configure(settings)
    if url := os.environ.get("PREFECT_API_URL", "").rstrip("/"):
        with _used(_Api(url, own_password(url, settings))):
            require_answer(url)
            yield url
        return
    with _found_or_started(settings) as api, _used(api):
        try:
            yield api.url
        finally:
            _flush()


def require_answer(url: str) -> None:
    """Fail at once when the user's own server is not there, or does not let us in.

    Raises:
        UnavailableError: it does not answer, or asks for another password.
    """
    if not answers(f"{url}/health"):
        raise UnavailableError(
            "a Prefect server at PREFECT_API_URL",
            found=f"no answer from {url}",
            hint="start it, or unset the variable",
        )
    headers = proof(os.environ.get(CLIENT), os.environ.get("PREFECT_API_KEY"))
    if status(f"{url}/admin/version", headers) == HTTPStatus.UNAUTHORIZED:
        raise UnavailableError(
            f"a Prefect server at {url} that lets this command in",
            found=f"that it asks for {'another' if headers else 'a'} password",
            hint=f"set {CLIENT} as foveal up prints it, or unset PREFECT_API_URL on the storage "
            "root of that foveal up",
        )


def own_password(url: str, settings: Settings) -> str | None:
    """Return the password of a server the environment names without one, if it is this root's."""
    if os.environ.get(CLIENT):
        return None
    claim, note = running_up(settings.root), settings.prefect_home / "server.json"
    if claim and claim.prefect == url:
        return claim.password(settings.prefect_home)
    if note.exists() and json.loads(note.read_text())["url"] == url:
        return password(settings.prefect_home)
    return None


@contextlib.contextmanager
def _used(api: _Api) -> Iterator[None]:
    """Have Prefect's client use an API inside the block."""
    used = {"PREFECT_API_URL": api.url} | ({CLIENT: api.password} if api.password else {})
    before = {name: os.environ.get(name) for name in used}
    os.environ.update(used)
    _read_settings_again()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        _read_settings_again()


@contextlib.contextmanager
def _found_or_started(settings: Settings) -> Iterator[_Api]:
    """Find this root's `foveal up` server, waiting while it starts, or else the commands' own."""
    deadline = time.monotonic() + STARTUP_TIMEOUT_S
    while True:
        with sharing(settings.root) as ours:
            if ours:
                with _shared_server(settings.prefect_home) as url:
                    yield _Api(url, password(settings.prefect_home))
                return
        claim = running_up(settings.root)
        if claim and answers(f"{claim.prefect}/health"):
            yield _Api(claim.prefect, claim.password(settings.prefect_home))
            return
        if time.monotonic() > deadline:
            raise UnavailableError(
                "the Prefect server of the foveal up on this root",
                found=f"no answer from {claim.prefect} in {STARTUP_TIMEOUT_S:.0f} s"
                if claim
                else f"that a process of it holds {settings.root}",
                hint=f"read {settings.root / 'logs' / 'prefect.log'}",
            )
        time.sleep(0.2)


@contextlib.contextmanager
def _shared_server(home: Path) -> Iterator[str]:
    home.mkdir(parents=True, exist_ok=True)
    note = home / "users" / str(os.getpid())
    with FileLock(home / "server.lock"):
        url = _running(home) or _start(home)
        note.parent.mkdir(exist_ok=True)
        note.touch()
    try:
        yield url
    finally:
        with FileLock(home / "server.lock"):
            note.unlink(missing_ok=True)
            if not users(home):
                stop_server(home)


def _read_settings_again() -> None:
    """Tell Prefect of another address where it was imported before, as in a notebook."""
    if "prefect" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def _flush() -> None:
    """Let Prefect send what it holds back, logs and events, while the server is still there."""
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    with ThreadPoolExecutor(1) as elsewhere:
        # where an event loop runs, as in a notebook, nobody would await it
        for worker in (APILogWorker, EventsWorker):
            elsewhere.submit(worker.drain_all, timeout=10, at_exit=False).result()


def _running(home: Path) -> str | None:
    """Return the noted server's address if it lives and answers; end one that does not answer."""
    if (process := running_server(home)) is None:
        return None
    url = str(json.loads((home / "server.json").read_text())["url"])
    deadline = time.monotonic() + HUNG_S
    while not answers(f"{url}/health"):
        if not lives(process) or time.monotonic() > deadline:
            end_family(process.pid, grace_s=0)
            return None
        time.sleep(0.2)
    return url


def running_server(home: Path) -> psutil.Process | None:
    """Return the commands' server process, if alive; the noted number may be another's by now."""
    with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
        described = json.loads((home / "server.json").read_text())
        process = psutil.Process(int(described["pid"]))
        if process.create_time() == described["created"] and lives(process):
            return process
    return None


def _start(home: Path) -> str:
    port = free_port()
    program = prefect_program(home, "127.0.0.1", port)
    url = program.environment["PREFECT_API_URL"]
    log = home / "server.log"
    with log.open("ab") as sink:
        # A session of its own: Ctrl-C stops the command, which then stops the server in order.
        server = subprocess.Popen(  # noqa: S603 - our own interpreter
            program.command,
            stdout=sink,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **program.environment},
            start_new_session=True,
        )
    try:
        if not comes_up(server, f"{url}/health"):
            state = (
                "it ended"
                if server.returncode is not None
                else f"no answer in {STARTUP_TIMEOUT_S:.0f} s"
            )
            raise UnavailableError("Prefect's server to start", found=state, hint=f"read {log}")
        created = psutil.Process(server.pid).create_time()
        write_json(home / "server.json", {"pid": server.pid, "created": created, "url": url})
    except BaseException:  # Ctrl-C and signals, too
        end_family(server.pid, grace_s=0)
        raise
    return url


def stop_server(home: Path) -> None:
    """Stop the commands' server, if any; its database stays whole even if it must be killed."""
    process = running_server(home)
    (home / "server.json").unlink(missing_ok=True)
    if process:
        end_family(process.pid, grace_s=GRACE_S)
