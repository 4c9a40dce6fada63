"""What people read of an A/B test, on the screen and in the Prefect UI."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from components.contracts import AbResult, AbVerdict
from flows.ab_test import AbSummary, markdown
from flows.cli.screens import results as screen
from flows.cli.screens.console import write
from flows.tasks.evaluation import ArmFigures

RESULT = AbResult(
    AbVerdict.NO_DIFFERENCE,
    0.001,
    (-0.01, 0.012),
    640,
    612,
    0.02,
    "fixed sample size",
    "B − A = +0.0010",
)
A = ArmFigures("A", "pets/1", 640, 2, 0.91, 640, 8.25, 11.5)
B = ArmFigures("B", "pets/2", 640, 0, None, 0, None, None)
DONE = AbSummary(
    "1-or-2-shadow", "shadow", "top-1", 40, 600, (A, B), 0.987, RESULT, Path("/tests/1-or-2-shadow")
)


def test_the_screen_shows_both_arms_the_plan_and_the_verdict(capsys):
    write(screen.ab(DONE))
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "40 new images, 600 had been counted before",
        "A pets/1 640 2 640 0.9100 8.25 11.50",
        "B pets/2 640 0 0 – – –",
        "agreement of the two: 0.9870",
        "planned: 612 scored images, for δ = 0.02",
        "no difference ≥ δ: B − A = +0.0010",
        "/tests/1-or-2-shadow",
    ):
        assert words in said, words


def test_a_split_has_no_agreement_and_a_sequential_test_no_plan(capsys):
    write(
        screen.ab(
            replace(DONE, counted_before=0, agreement=None, result=replace(RESULT, planned=None))
        )
    )
    said = capsys.readouterr().out
    assert "agreement" not in said and "planned" not in said and "before" not in said


def test_prefect_shows_the_verdict_as_a_heading_over_the_arms():
    page = markdown(DONE).splitlines()
    assert page[0] == "# no difference ≥ δ"
    assert "| A | pets/1 | 640 | 2 | 640 | 0.9100 | 8.25 | 11.50 |" in page
    assert "| B | pets/2 | 640 | 0 | 0 | – | – | – |" in page
    assert page[-1].endswith("0.9870")


def test_a_summary_is_json():
    said = DONE.to_json()
    assert (said["result"]["verdict"], said["arms"][1]["p50_ms"]) == ("no difference ≥ δ", None)
    assert said["folder"] == "/tests/1-or-2-shadow"
