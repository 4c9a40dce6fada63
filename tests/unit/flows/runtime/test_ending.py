"""A command that is told to end, ends: in order, or without what hangs."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from flows.runtime import ending
from tests.conftest import clean_environment


def start(script: str, tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=clean_environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_all_that_a_process_may_take_to_end_is_within_ten_seconds():
    assert ending.ORDERLY_S + ending.CHILDREN_S < 10


def test_a_process_whose_end_and_whose_children_hang_is_ended(tmp_path):
    script = (
        "import time\n"
        "from flows.runtime import ending\n"
        "ending._end_children = lambda: time.sleep(600)\n"
        "ending.end_in_order()\n"
        "try:\n"
        "    print(flush=True)\n"
        "    time.sleep(600)\n"
        "finally:\n"
        "    time.sleep(600)\n"
    )
    process = start(script, tmp_path)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=300)  # without a bound it would be ten minutes
    assert (process.returncode, told) == (143, f"error: {ending.STOPPED}\n")


def test_a_process_whose_end_hangs_is_ended_with_what_it_started(tmp_path):
    script = (
        "import subprocess, sys, time\n"
        "from flows.runtime.ending import end_in_order\n"
        "end_in_order()\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "try:\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(600)\n"
        "finally:\n"
        "    time.sleep(600)\n"
    )
    process = start(script, tmp_path)
    child = int(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=300)  # without a bound it would be ten minutes
    assert process.returncode == 143
    assert told == "error: stopped; finished steps are kept, the same command resumes\n"
    with suppress(psutil.NoSuchProcess):  # or nobody has asked yet how it ended
        assert psutil.Process(child).status() == psutil.STATUS_ZOMBIE
