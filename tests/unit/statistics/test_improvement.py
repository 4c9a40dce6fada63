"""A gain on recent images is shown by the deciding metric, or by the score of single images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.contracts import (
    Check,
    Detections,
    Fit,
    Gate,
    LabelledImage,
    Verdict,
    VisionSpec,
    dump,
    load,
)
from components.datasets.dataset import LabelledDataset
from components.evaluation.gate_policy import GatePolicy
from components.evaluation.gate_rules import EvaluationResult, Evidence, evaluate_gates
from components.evaluation.gates import EvaluationSet, examine
from components.evaluation.interleaved import Cost, Ratio, Side
from components.statistics.differences import (
    ScoreDifference,
    ShareDifference,
    images_needed,
    mean_difference,
)
from components.statistics.improvement import evaluate_improvement

# +0.236 [+0.024, +0.449], as a rare class makes it
WIDE = ScoreDifference(0.127, 0.363, 51, 0.106, 0.005)
BUNDLE = Check("bundle", None, None, Verdict.PASS, "it answered")
SPEC = VisionSpec("detect", ("common", "rare"), (64, 64), Fit.LETTERBOX, "yolo")


def by_image(gain: float, spread: float, images: int = 51) -> ScoreDifference:
    return ScoreDifference(0.3, 0.3 + gain, images, spread / images**0.5, 1 / images)


def recent_gate(recent: EvaluationResult) -> Gate:
    evidence = Evidence(
        EvaluationResult(0, "map50_95"), recent, None, None, Ratio(), "", (), BUNDLE
    )
    gates = evaluate_gates(evidence, GatePolicy(), require_improvement=True)
    return next(gate for gate in gates if gate.name == "recent")


def examined(metric: ScoreDifference, images: ScoreDifference | None) -> EvaluationResult:
    return EvaluationResult(
        metric.images, "map50_95", metric.champion, metric.challenger, metric, by_image=images
    )


def test_a_clear_gain_that_a_rare_class_hides_is_shown_by_the_images() -> None:
    assert (WIDE.low(0.975), WIDE.high(0.975)) == pytest.approx((0.023, 0.449), abs=0.002)
    gate = recent_gate(examined(WIDE, by_image(0.25, 0.3)))
    assert gate.verdict is Verdict.PASS
    assert gate.difference is not None and gate.difference[0] == pytest.approx(0.25)
    assert (gate.champion, gate.challenger) == pytest.approx((0.3, 0.55))
    assert "mAP50-95 0.127 → 0.363" in gate.reason and "F1 of an image 0.300 → 0.550" in gate.reason


def test_what_is_undecided_says_how_many_images_would_show_it_and_so_many_do() -> None:
    gate = recent_gate(examined(WIDE, None))
    assert gate.verdict is Verdict.UNDECIDED and gate.images_needed is not None
    assert (
        f"about {gate.images_needed} such images would show it, {gate.images_needed - 51} more"
        in gate.reason
    )
    scale = (51 / gate.images_needed) ** 0.5
    more = ScoreDifference(0.127, 0.363, gate.images_needed, 0.106 * scale, 0.005 * scale)
    assert recent_gate(examined(more, None)).verdict is Verdict.PASS
    assert load(Gate, dump(gate)) == gate


def test_no_number_of_images_shows_a_gain_that_is_not_there() -> None:
    small = ScoreDifference(0.5, 0.51, 100, 0.02, 0.001)
    gate = recent_gate(examined(small, by_image(0.01, 0.2, 100)))
    assert (gate.verdict, gate.images_needed) == (Verdict.UNDECIDED, None)
    assert images_needed(ShareDifference(40, 20, 0, 0), 0.0, 0.999) is None


def test_where_the_metric_excludes_the_gain_the_images_do_not_overrule_it() -> None:
    none = ScoreDifference(0.5, 0.505, 300, 0.002, 0.001)
    assert recent_gate(examined(none, by_image(0.2, 0.1, 300))).verdict is Verdict.FAIL


def test_few_images_show_nothing_and_say_how_many_are_the_least() -> None:
    gate = recent_gate(examined(ScoreDifference(0.1, 0.8, 29, 0.01, 0.001), by_image(0.7, 0.1, 29)))
    assert (gate.verdict, gate.images_needed) == (Verdict.UNDECIDED, 30)
    assert gate.reason.endswith("30 images are the least")


def test_of_equal_models_hardly_any_is_taken_for_better() -> None:
    """Skewed and sparse scores of 40 images, 4,000 times; the error of a single test is 0.05 %."""
    rng, taken = np.random.default_rng(0), 0
    for _ in range(4000):
        pair = rng.choice([0.0, 0.5, 0.8, 1.0], (40, 2), p=[0.2, 0.1, 0.1, 0.6])
        found = mean_difference(pair[:, 0], pair[:, 1])
        assert found is not None
        taken += evaluate_improvement(WIDE, found, 0.0).by_image
    assert taken <= 8


def test_an_image_is_scored_at_each_versions_own_confidence(tmp_path: Path) -> None:
    truth = Detections(
        np.array([[10, 10, 30, 30]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
    )
    data = LabelledDataset(
        tmp_path, "recent", "detect", SPEC.class_names,
        tuple(LabelledImage(str(k), tmp_path / f"{k}.jpg", truth) for k in range(40)), "sha",
    )  # fmt: skip
    cost = Cost(None, 0, 1.0, None)

    def side(score: float, confidence: float) -> Side:
        found = Detections(truth.xyxy, np.full(1, score, np.float32), truth.class_ids)
        return Side(cost, ((found,) * 40,), "", confidence)

    found = examine(EvaluationSet(data), side(0.2, 0.25), side(0.2, 0.1), SPEC, 0).by_image
    assert found is not None
    assert (found.champion, found.challenger) == (0.0, 1.0)
