"""MLflow's own pages over the embedded store, for as long as somebody looks at them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from components import telemetry
from components.errors import UnavailableError
from flows.settings import Settings

STARTUP_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class MlflowUi:
    """A server of MLflow's pages, and its address."""

    address: str
    process: subprocess.Popen[bytes]

    def wait(self) -> None:
        """Until Ctrl-C, or until the server ends."""
        with contextlib.suppress(KeyboardInterrupt):
            while self.process.poll() is None:  # a plain wait() sleeps through a Ctrl-C that another thread receives
                time.sleep(0.2)


@contextlib.contextmanager
def mlflow_ui(settings: Settings) -> Iterator[MlflowUi]:
    """Serve the embedded store's pages on a free port of this machine, and stop at the end.

    Raises:
        UnavailableError: the server did not answer in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", settings.tracking_uri, "--artifacts-destination", str(settings.artifact_root),
    ]  # fmt: skip
    environment = os.environ | telemetry.SWITCHES | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = settings.root / "mlflow" / "ui.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment
        )
    ui = MlflowUi(f"http://127.0.0.1:{port}", process)
    try:
        _await(ui, str(log))
        yield ui
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server and its worker to end, insist after 15 s."""
    with contextlib.suppress(psutil.NoSuchProcess):
        server = psutil.Process(process.pid)
        family = [server, *server.children(recursive=True)]
        server.terminate()
        for stubborn in psutil.wait_procs(family, timeout=15)[1]:
            stubborn.kill()
    process.wait()


def _await(ui: MlflowUi, log: str) -> None:
    deadline = time.monotonic() + STARTUP_TIMEOUT_S
    while not _healthy(ui.address):
        if ui.process.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError("MLflow's pages", found="a server that does not answer", mend=f"read {log}")
        time.sleep(0.2)


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
