"""Progress off a terminal, what may be asked, output where characters or columns are missing."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from components.contracts import Gate, GateReport, Verdict
from flows.cli.screens import results as screen
from flows.cli.screens.console import make_console, print_plainly, write
from flows.cli.screens.progress import Lines, progress
from flows.reporting.progress import advance, answering, ask, listening, note, timed


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_every_few_seconds_and_go_on_where_nothing_is_new():
    clock, told = Clock(), []
    lines = Lines(told.append, clock=clock)
    lines.phase("release digits")
    for second in range(1, 121):
        clock.now = second
        if second == 6:
            lines.advance("timing rounds", 2, 7)
        lines.tick()
    assert told[:4] == [
        "0:05 release digits",
        "0:10 release digits: timing rounds, 2 of 7",
        "0:15 release digits: timing rounds, 2 of 7",
        "0:25 release digits: timing rounds, 2 of 7",
    ]
    assert told[-1].startswith(("1:", "2:")) and len(told) == 7, (
        "ever more seldom, half a minute apart at most"
    )


def test_a_step_that_begins_is_a_sign_of_life():
    told: list[tuple[str, int, int]] = []
    with listening(lambda *step: told.append(step)), timed("optimize"):
        advance("reading calibration images", 1, 2)
    assert told == [("optimize", 0, 0), ("reading calibration images", 1, 2)]


def test_what_is_short_says_nothing():
    told = []
    with Lines(told.append).running():
        pass
    assert told == []


def test_a_question_is_answered_by_whoever_watches_or_by_nobody():
    assert ask("again?") is None
    with answering(lambda question: question == "again?"):
        assert ask("again?") is True
        assert ask("else?") is False
    assert ask("again?") is None


REPORT = GateReport(
    "digits/1",
    "digits/2",
    (
        Gate("golden", 0.812, 0.809, (-0.003, -0.01, 0.004), -0.02, 0.008, 200, Verdict.PASS,
             "as good"),
        Gate("recent brightness 27.5–113.4", 0.8, 0.7, (-0.1, -0.2, -0.06), -0.05, None, 120,
             Verdict.FAIL, "worse", slice_of="recent"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_loses_nothing_from_eighty_columns_on(width):
    shown = io.StringIO()
    write(screen.gates(REPORT), Console(file=shown, width=width))
    text = shown.getvalue()
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    assert "-0.100 [-0.200, -0.060]" in text
    assert "27.5–113.4" in text.replace("\n", "")


def test_a_pipe_is_as_wide_as_its_lines(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert make_console().width > 1000
    monkeypatch.setenv("COLUMNS", "90")
    assert make_console().width == 90


def test_an_ascii_terminal_is_given_a_likeness(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), "latin-1"))
    print_plainly()
    write(screen.gates(REPORT))
    sys.stdout.write("1.5× → −2 ● 数\n")
    sys.stdout.flush()
    text = raw.getvalue().decode("ascii")
    assert "1.5x -> -2 * ?" in text and "recent brightness 27.5-113.4" in text


def test_a_note_is_printed_once_however_often_it_is_said(capsys):
    with progress(True):
        for _ in range(2):
            note(["12 images: 3 with objects, 0 labelled as empty"], "val")
    note(["nobody reads this"])
    said = "note: val: 12 images: 3 with objects, 0 labelled as empty\n"
    shown = capsys.readouterr().err
    assert shown.count(said) == 1 and "nobody" not in shown
