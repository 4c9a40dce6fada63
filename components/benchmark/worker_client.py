"""Parent's side of a worker process: start it, ask it with a time limit, and see that it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from multiprocessing import Pipe
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import components
from components.benchmark.messages import Failed, Message
from components.telemetry import SWITCHES

Answer = TypeVar("Answer")

END_GRACE_S = 3.0  # how long a worker may take to end by itself, and again after it was told to


class WorkerFailedError(Exception):
    """A worker crashed, did not answer in time, or could not do what it was asked.

    It is caught where variants are run.
    """


class Worker:
    """A fresh Python process that measures one variant; close it or use it as a context manager."""

    def __init__(self) -> None:
        root = str(Path(components.__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._log = cast(BinaryIO, tempfile.TemporaryFile())
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                # -P keeps the working directory off the path: it may hold another `components`.
                [sys.executable, "-P", "-m", "components.benchmark.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **SWITCHES, "PYTHONPATH": path},
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def send(self, message: Message) -> None:
        """Ask for something; the answer is fetched with `receive`.

        Raises:
            WorkerFailedError: the worker is gone.
        """
        try:
            self._connection.send(message)
        except OSError as error:
            raise WorkerFailedError(self._exit_reason()) from error

    def receive(self, kind: type[Answer], timeout_s: float) -> Answer:
        """The answer to the last request.

        Raises:
            WorkerFailedError: the worker crashed, could not do it, or took longer than `timeout_s`.
        """
        if not self._connection.poll(timeout_s):
            self._process.kill()
            raise WorkerFailedError(f"no answer within {timeout_s:g} s")
        try:
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerFailedError(self._exit_reason()) from error
        if isinstance(answer, Failed):
            raise WorkerFailedError(answer.error)
        if not isinstance(answer, kind):
            raise WorkerFailedError(f"answered {type(answer).__name__} in place of {kind.__name__}")
        return answer

    def _exit_reason(self) -> str:
        """Describe how the process ended, with the last line that it wrote."""
        try:
            code: int | None = self._process.wait(END_GRACE_S)
        except subprocess.TimeoutExpired:
            code = None
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 4000))
        lines = [
            line.strip()
            for line in self._log.read().decode(errors="replace").splitlines()
            if line.strip()
        ]
        how = (
            "hung up"
            if code is None
            else f"died of signal {-code}"
            if code < 0
            else f"ended with code {code}"
        )
        return f"the worker process {how}" + (f": {lines[-1]}" if lines else "")

    def close(self) -> None:
        """End the process: by hanging up, then by asking, then by force. Closing twice is fine."""
        self._connection.close()
        for insist in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(END_GRACE_S)
                break
            except subprocess.TimeoutExpired:
                insist()
        self._process.wait()
        self._log.close()
