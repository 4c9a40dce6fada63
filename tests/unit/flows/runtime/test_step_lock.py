"""The locks of steps: one holder at a time, and none that a dead process keeps."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flows.runtime.step_lock import StepLock

HOLD = """
import sys
from flows.runtime.step_lock import StepLock

StepLock().acquire_lock("step-1", "another")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def lock(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path))
    lock = StepLock()
    yield lock
    lock.release_lock("step-1", "me")


@pytest.fixture
def other(lock):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as it:
        assert it.stdout.readline() == "held\n"
        yield it
        it.kill()


def test_a_lock_is_its_holders_until_it_is_released(lock):
    assert not lock.is_locked("step-1")
    assert lock.acquire_lock("step-1", "me") and lock.acquire_lock("step-1", "me")
    assert lock.is_locked("step-1") and lock.is_lock_holder("step-1", "me")
    assert not lock.is_lock_holder("step-1", "you")
    lock.release_lock("step-1", "you")
    assert lock.is_locked("step-1")
    lock.release_lock("step-1", "me")
    assert not lock.is_locked("step-1") and lock.wait_for_lock("step-1", timeout=0)


def test_another_process_keeps_us_out_and_its_death_lets_us_in(lock, other):
    assert lock.is_locked("step-1")
    assert not lock.wait_for_lock("step-1", timeout=0)
    assert not lock.acquire_lock("step-1", "me", acquire_timeout=0)
    other.kill()
    assert lock.acquire_lock("step-1", "me", acquire_timeout=30)


def test_steps_do_not_wait_for_each_other(lock, other):
    assert lock.acquire_lock("step-2", "me", acquire_timeout=0)
    lock.release_lock("step-2", "me")
