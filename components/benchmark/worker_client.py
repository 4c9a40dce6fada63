"""The parent's side of a worker process: start it, ask it with a time limit, and see that it ends."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import components
from components.benchmark.messages import Failed, Message, decode, send
from components.telemetry import SWITCHES

Answer = TypeVar("Answer")

END_GRACE_S = 3.0  # how long a worker may take to end by itself, and again after it was told to


class WorkerFailedError(Exception):
    """A worker crashed, did not answer in time, or could not do what it was asked; caught where variants are run."""


class Worker:
    """A fresh Python process that measures one variant. Close it, or use it as a context manager."""

    def __init__(self) -> None:
        root = str(Path(components.__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._log = cast(BinaryIO, tempfile.TemporaryFile())
        self._process = subprocess.Popen(
            # -P keeps the working directory off the path: a folder there may be called components, too.
            [sys.executable, "-P", "-m", "components.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
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
            send(cast(BinaryIO, self._process.stdin), message)
        except OSError as error:
            raise WorkerFailedError(self._exit_reason()) from error

    def receive(self, kind: type[Answer], timeout_s: float) -> Answer:
        """The answer to the last request.

        Raises:
            WorkerFailedError: the worker crashed, could not do it, or took longer than `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        try:
            answer = decode(lambda size: self._read(size, deadline))
        except TimeoutError as error:
            self._process.kill()
            raise WorkerFailedError(f"no answer within {timeout_s:g} s") from error
        except EOFError as error:
            raise WorkerFailedError(self._exit_reason()) from error
        if answer is None:
            raise WorkerFailedError(self._exit_reason())
        if isinstance(answer, Failed):
            raise WorkerFailedError(answer.error)
        if not isinstance(answer, kind):
            raise WorkerFailedError(f"answered {type(answer).__name__} in place of {kind.__name__}")
        return answer

    def _read(self, size: int, deadline: float) -> bytes:
        """Exactly `size` bytes, fewer at the end of the stream."""
        descriptor = cast(BinaryIO, self._process.stdout).fileno()
        blocks: list[bytes] = []
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while size > 0:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                block = os.read(descriptor, min(size, 1 << 20))
                if not block:
                    break
                blocks.append(block)
                size -= len(block)
        return b"".join(blocks)

    def _exit_reason(self) -> str:
        """Describe how the process ended, with the last line that it wrote."""
        try:
            code: int | None = self._process.wait(END_GRACE_S)
        except subprocess.TimeoutExpired:
            code = None
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 4000))
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        how = "hung up" if code is None else f"died of signal {-code}" if code < 0 else f"ended with code {code}"
        return f"the worker process {how}" + (f": {lines[-1]}" if lines else "")

    def close(self) -> None:
        """End the process: by closing its input, then by asking, then by force. Closing twice is fine."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:  # it died with a request in the pipe
                    continue
        try:
            self._process.wait(END_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(END_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
