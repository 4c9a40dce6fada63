"""Calls of engines that can be given up, and the end of a process that gave one up."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator

import pytest

from components.daemons import call_engine, hold
from flows.cli.main import main
from tests.loops import run_apart

HERE = "tests.unit.test_daemons"


def test_a_call_gives_its_result_or_what_it_raised() -> None:
    assert call_engine(60, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        call_engine(60, lambda: 1 / 0)


def test_a_call_that_goes_on_step_by_step_may_take_longer_than_its_limit() -> None:
    done, looks = threading.Event(), itertools.count()

    def steps() -> int:
        seen = next(looks)
        if seen == 20:  # five times the limit
            done.set()
        return seen

    assert call_engine(0.04, done.wait, steps)


def give_up() -> Iterator[str]:
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        call_engine(0.1, threading.Event().wait)
    yield "given up"


def test_a_process_that_gave_a_call_up_says_all_it_has_to_say_and_ends_with_1() -> None:
    done = run_apart(HERE, "give_up()")
    assert (done.returncode, done.stdout, done.stderr) == (1, "given up\n", "")


def command(*arguments: str) -> None:
    """Run the command in a process that has given a call up."""
    hold(None)
    sys.argv = ["foveal", *arguments]
    main()


@pytest.mark.parametrize(("arguments", "code"), [("'--version'", 0), ("'predict'", 2)])
def test_a_command_that_gave_a_call_up_keeps_its_exit_code(arguments: str, code: int) -> None:
    assert run_apart(HERE, f"command({arguments})").returncode == code
