"""Sentences with numbers that are one, zero, or not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts import InferenceRun
from components.printing import counted
from flows.cli.screens import results as screen
from flows.cli.screens.console import write
from flows.reporting.summary import Window


@pytest.mark.parametrize(("count", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_a_count_agrees_with_its_noun(count, words):
    assert counted(count, "image") == words


@pytest.mark.parametrize(
    ("images", "speed", "line"),
    [
        (1, 0.4, "night: ok  (1 image, 0 unreadable, 0.4 images/s)"),
        (240, 148.2, "night: ok  (240 images, 0 unreadable, 148 images/s)"),
        (240, 0.0, "night: ok  (240 images, 0 unreadable)"),
    ],
)
def test_a_window_is_told_without_a_speed_that_was_not_measured(images, speed, line, capsys):
    write(
        screen.window(
            "night", Window(images, 0, speed, "ok", (), Path("predictions"), Path("report"))
        )
    )
    assert capsys.readouterr().out.splitlines()[0] == line


def test_a_reason_with_brackets_is_shown_whole(capsys):
    seen = Window(
        9, 0, 1.0, "drift", ("more [cat] than [dog]",), Path("predictions"), Path("report")
    )
    write(screen.window("night", seen))
    assert "more [cat] than [dog]" in capsys.readouterr().out


@pytest.mark.parametrize("summary", ["7 objects on 3 of 4 images; [cat] 2", ""])
def test_a_batch_shows_what_its_task_says_of_it(summary, capsys):
    write(screen.run(InferenceRun(Path("out"), "parts/3", 4, (), 1.0, 1, summary=summary)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 images predicted by parts/3 in 1.0 s, 0 failed"
    assert (lines[1] == summary) == bool(summary)
