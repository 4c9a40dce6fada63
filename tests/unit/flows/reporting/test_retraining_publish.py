"""What a person reads of a retraining that ended, whichever way."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts import DatasetVersion, ModelVersion
from flows.config.retrain import RetrainConfig
from flows.reporting.retraining import RetrainSummary, markdown
from flows.reporting.summary import MonitorSummary, Window

CONFIG = RetrainConfig(name="digits", trigger="drift", event="night 7")
DATASET = DatasetVersion(
    Path("data.yaml"), "a" * 64, {"train": 300, "recent": 40}, {"new": 200}, {"near_duplicate": 3}
)


def test_a_challenger_that_fits_no_budget_is_rejected_and_the_champion_stays():
    done = RetrainSummary.unfit(
        CONFIG, ModelVersion("digits", 4, "run"), DATASET, "expected 10 MB, found 12 MB"
    )
    assert (done.state, done.champion, done.challenger) == ("rejected", 4, None)
    page = markdown(CONFIG, done)
    assert page.startswith("# rejected\ndigits: expected 10 MB, found 12 MB\n")
    for row in (
        "| trigger | drift night 7 |",
        "| recent images | 40 |",
        "| left out, near duplicate | 3 |",
    ):
        assert row in page
    assert "challenger" not in page


def test_a_page_says_which_labels_are_missing():
    page = markdown(CONFIG, RetrainSummary.needs_labels(CONFIG, 30, 130, 12))
    assert page.startswith("# needs_labels\n")
    assert "| labels missing | 130 |" in page and "| waiting to be labelled | 12 |" in page


@pytest.mark.parametrize(
    ("labelled", "missing", "queued", "reason"),
    [
        (1, 1, 1, "1 new labelled image, 1 is missing; 1 waits in the labelling queue"),
        (30, 130, 12, "30 new labelled images, 130 are missing; 12 wait in the labelling queue"),
    ],
)
def test_counts_agree_with_their_nouns(labelled, missing, queued, reason):
    assert RetrainSummary.needs_labels(CONFIG, labelled, missing, queued).reason == reason


def test_a_champion_that_cannot_be_trained_says_so_and_how_many_images_wait():
    champion = ModelVersion("digits", 4, "run")
    done = RetrainSummary.not_trainable(CONFIG, champion, "digits/4 was released from a.onnx", 1)
    assert (done.state, done.champion, done.queued) == ("not_trainable", 4, 1)
    assert "; 1 image waits in the labelling queue: train elsewhere" in done.reason
    window = Window(1, 0, 1.0, "ok", (), Path("p"), Path("r"))
    night = MonitorSummary("digits", 4, window, False, (), (), Path())
    assert night.headline == "1 image, 0 unreadable, by version 4"
