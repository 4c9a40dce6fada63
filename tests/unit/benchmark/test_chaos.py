"""What the bench of kills and losses of power counts as wrong."""

from __future__ import annotations

from benchmarks.chaos import compare_rows
from benchmarks.chaos_batches import Tally
from benchmarks.hostile import HostileFile

KNOWN = (HostileFile(b"a.jpg", True), HostileFile(b"b.jpg", False, "FIFO"))
ROWS = [
    {"image_id": "a.jpg", "status": "ok", "error": None},
    {"image_id": "b.jpg", "status": "error", "error": "a FIFO"},
]


def test_a_row_that_is_missing_wrong_foreign_or_there_twice_is_noticed() -> None:
    for rows, wrong in (
        (ROWS, 0),
        (ROWS[:1], 1),
        ([ROWS[0], ROWS[1] | {"error": "empty"}], 1),
        ([*ROWS, ROWS[0] | {"image_id": "c.jpg"}], 1),
        ([*ROWS, ROWS[0]], 1),
    ):
        tally = Tally()
        compare_rows(KNOWN, rows, tally)
        assert len(tally.wrong) == wrong, tally.wrong


def test_trials_that_were_not_made_and_a_part_that_ended_early_are_wrong() -> None:
    tally = Tally()
    tally.note("kill", "")
    tally.require("kill", 1)
    assert tally.wrong == []
    tally.require("kill", 2)
    with tally.part("nights"):
        raise FileNotFoundError("no such\nfile")
    assert tally.wrong == [
        "kill: 1 trials of 2",
        "nights 1: ended by FileNotFoundError: no such file",
    ]
