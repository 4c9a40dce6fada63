"""Runs one program, and ends its whole family when told to, or when whoever started it is gone.

    python -P -m flows.services.guard GRACE_S PROGRAM ARGUMENT…

End of file on standard input means that the starter has closed it or is dead, even by SIGKILL: it
is a pipe of which the starter alone holds the other end. (A parent-death signal would depend on the
thread that started the program, and would not reach its grandchildren.) Descendants whose parent
dies become children of the guard (PR_SET_CHILD_SUBREAPER of Linux), so that none escapes.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys

import psutil

from flows.runtime.processes import end_family

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run the program; exit as it did, or as if it had ended well when it was told to."""
    grace_s, command = float(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - given by the supervisor
    try:
        select.select([sys.stdin, os.pidfd_open(child.pid)], [], [])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        code = child.poll()
        end_family(child.pid, grace_s=grace_s)
        while strays := psutil.Process().children(recursive=True):
            for stray in strays:
                stray.kill()
            psutil.wait_procs(strays, timeout=5)
    sys.exit(0 if code is None else code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
