"""MLflow's own pages over the embedded store, for as long as somebody looks at them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from components import telemetry
from components.errors import UnavailableError
from flows.runtime.ending import Ended, taking_time
from flows.runtime.processes import comes_up, end_family, free_port
from flows.runtime.programs import stored_program
from flows.runtime.settings import Settings


@dataclass(frozen=True)
class MlflowUi:
    """A server of MLflow's pages, and its address."""

    address: str
    process: subprocess.Popen[bytes]

    def wait(self) -> None:
        """Until Ctrl-C or another signal to end, or until the server ends."""
        with contextlib.suppress(Ended):
            while self.process.poll() is None:
                # a plain wait() sleeps through a Ctrl-C that another thread receives
                time.sleep(0.2)


@contextlib.contextmanager
def mlflow_ui(settings: Settings) -> Iterator[MlflowUi]:
    """Serve the embedded store's pages on a free port of this machine, and stop at the end.

    Raises:
        UnavailableError: the server did not answer in time.
    """
    port = free_port()
    program = stored_program("mlflow", settings, "127.0.0.1", port)
    environment = {**os.environ, **telemetry.SWITCHES, **program.environment}
    log = settings.root / "mlflow" / "ui.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            program.command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment
        )
    ui = MlflowUi(f"http://127.0.0.1:{port}", process)
    with taking_time():  # the server is given a few seconds, whichever way this ends
        try:
            if not comes_up(process, f"{ui.address}/health"):
                raise UnavailableError(
                    "MLflow's pages", found="a server that does not answer", hint=f"read {log}"
                )
            yield ui
        finally:
            end_family(process.pid, grace_s=6)
            process.wait()
