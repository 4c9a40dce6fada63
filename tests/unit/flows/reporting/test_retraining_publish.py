"""What a person reads of a retraining that ended, whichever way."""

from __future__ import annotations

from pathlib import Path

from components.contracts import DatasetVersion, ModelVersion
from flows.config.retrain import RetrainConfig
from flows.reporting.retraining import RetrainSummary, markdown

CONFIG = RetrainConfig(name="digits", trigger="drift", event="night 7")
DATASET = DatasetVersion(Path("data.yaml"), "a" * 64, {"train": 300, "recent": 40}, {"new": 200}, {"near_duplicate": 3})


def test_a_challenger_that_fits_no_budget_is_rejected_and_the_champion_stays():
    done = RetrainSummary.unfit(CONFIG, ModelVersion("digits", 4, "run"), DATASET, "expected 10 MB, found 12 MB")
    assert (done.state, done.champion, done.challenger) == ("rejected", 4, None)
    page = markdown(CONFIG, done)
    assert page.startswith("# rejected\ndigits: expected 10 MB, found 12 MB\n")
    for row in ("| trigger | drift night 7 |", "| recent images | 40 |", "| left out, near duplicate | 3 |"):
        assert row in page
    assert "challenger" not in page


def test_a_page_says_which_labels_are_missing():
    page = markdown(CONFIG, RetrainSummary.needs_labels(CONFIG, 30, 130, 12))
    assert page.startswith("# needs_labels\n")
    assert "| labels missing | 130 |" in page and "| waiting to be labelled | 12 |" in page
