"""Run `foveal` from a process that has imported its libraries: a fork in place of a start.

A command starts in five seconds of imports, and the tests run hundreds. What is imported before the
fork reads neither the storage root nor a server's address: Prefect, which does, and our own
packages are imported by the command itself. Tests of starting, signals and missing libraries start
the real command.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

LIBRARIES = (
    "alembic.command",
    "cv2",
    "evidently",
    "evidently.presets",
    "fastapi",
    "flows.cli.main",
    "httpx",
    "jinja2",
    "mlflow",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "onnx",
    "onnxruntime",
    "pandas",
    "PIL.Image",
    "pyarrow.parquet",
    "pydantic_settings",
    "rich.table",
    "scipy.stats",
    "torch",
    "typer",
)
_LONGEST = 1 << 20  # bytes of one request


class Warm:
    """A process with everything imported; each command is a fork of it, on any root."""

    def __init__(self) -> None:
        """Start it; the first command waits until it has imported."""
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self._ours.close)  # its end

    def run(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None,
        timeout: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run `foveal` with arguments to its end, as `subprocess.run` would, its output captured.

        Raises:
            subprocess.TimeoutExpired: it ran longer than `timeout` seconds, and was killed.
        """
        request = json.dumps(
            {"arguments": list(arguments), "env": dict(env), "cwd": str(cwd or ".")}
        )
        answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, answer:
            with theirs:
                fds = [theirs.fileno(), out.fileno(), err.fileno()]
                socket.send_fds(self._ours, [request.encode()], fds)
            number = int(answer.recv(32))
            answer.settimeout(timeout)
            try:
                code = int(answer.recv(32))
            except TimeoutError:
                os.kill(number, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), timeout) from None
            said = (_whole(stream) for stream in (out, err))
            return subprocess.CompletedProcess(list(arguments), code, *said)


def _whole(stream: IO[bytes]) -> str:
    """Read a file from its beginning."""
    stream.seek(0)
    return stream.read().decode()


@cache
def warm() -> Warm:
    """The process of this worker; it ends with it."""
    return Warm()


def _serve(requests: socket.socket) -> None:
    """Answer requests until the other side is gone; returns in each command's own process."""
    telemetry: Any = import_module("components.telemetry")
    telemetry.switch_off()
    for name in LIBRARIES:
        import_module(name)
    assert "prefect" not in sys.modules
    assert threading.active_count() == 1, "a fork keeps one thread only"
    gc.freeze()  # a collection would touch, and so copy, all that was imported
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the waiters
    while True:
        request, fds, _, _ = socket.recv_fds(requests, _LONGEST, 3)
        if not request:
            os._exit(0)
        if os.fork():
            for fd in fds:
                os.close(fd)
            continue
        requests.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _wait(socket.socket(fileno=fds[0]))
        _become(json.loads(request), fds)
        return


def _wait(answer: socket.socket) -> None:
    """Fork the command; the parent says its number and its exit code, and ends."""
    number = os.fork()
    if not number:
        answer.close()
        return
    answer.send(str(number).encode())
    _, status = os.waitpid(number, 0)
    answer.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request: dict[str, Any], fds: Sequence[int]) -> None:
    """Take on a command's streams, environment, folder and arguments."""
    for stream, fd in enumerate(fds[1:], 1):
        os.dup2(fd, stream)
        os.close(fd)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = ["foveal", *request["arguments"]]


def _command() -> int | str | None:
    """Run the command; its exit status as `sys.exit` takes it."""
    from flows.cli import start

    try:
        start()
    except SystemExit as ended:
        return ended.code
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(code: int | str | None) -> None:
    """End as an interpreter does, but leave the imported modules to the system: they are large."""
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    _end(_command())
