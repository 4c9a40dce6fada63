"""Gates over real processes: real models, real pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.benchmark import is_busy
from components.contracts import (
    Budget,
    Check,
    Detections,
    Fit,
    Gate,
    GateReport,
    LabelledImage,
    ModelArtifact,
    Precision,
    Target,
    Variant,
    Verdict,
    VisionSpec,
    dump,
    load,
)
from components.datasets.dataset import LabelledDataset
from components.errors import BundleError, ConfigError, IncompatibleError
from components.evaluation import EvaluationSet, GateInputs, GatePolicy, run_gates
from components.evaluation.gates import examine
from components.evaluation.interleaved import Cost, Side

pytestmark = pytest.mark.slow

TARGET = Target(
    "test",
    "",
    ("onnxruntime",),
    "cpu",
    1,
    (Precision.FP32,),
    Budget(size_mb=5, max_accuracy_drop=0.01),
)
LOADED = Check("bundle", None, None, Verdict.PASS, "it answered")
LENIENT = GatePolicy(
    margin=0.5, slice_margin=0.5, slice_samples=4, minimum_images=10, rounds=7, calls=19
)


@pytest.fixture
def evaluation_set(pictures: Any) -> EvaluationSet:
    data = LabelledDataset(
        Path(), "golden", "classify", ("blue", "green", "red"), pictures.images, "sha of golden"
    )
    return EvaluationSet(data, {"first half": np.arange(12) < 6})


@pytest.fixture
def race(evaluation_set: EvaluationSet) -> Callable[..., dict[str, Gate]]:
    """Run the gates: name → gate; what was said is checked to survive as JSON."""

    def run(before: ModelArtifact | None, after: ModelArtifact, **options: Any) -> dict[str, Gate]:
        settings: dict[str, Any] = {
            "golden": evaluation_set,
            "recent": None,
            "golden_sha256_of_champion": "sha of golden",
            "require_improvement": False,
            "target": TARGET,
            "smoke": lambda: LOADED,
            "policy": LENIENT,
        }
        champion = Variant("colours/1", before, "onnxruntime") if before else None
        settings |= options
        rest = {name: settings.pop(name) for name in ("policy", "progress") if name in settings}
        report = run_gates(
            champion, Variant("colours/2", after, "onnxruntime"), GateInputs(**settings), **rest
        )
        assert load(GateReport, dump(report)) == report
        assert (report.champion, report.challenger) == ("colours/1" if before else "", "colours/2")
        return {gate.name: gate for gate in report.gates}

    return run


def test_a_model_against_itself_keeps_everything_and_gains_nothing(
    race: Any, evaluation_set: EvaluationSet, make_classifier: Any
) -> None:
    steps: list[str] = []
    model = make_classifier("model", matmuls=1)
    gates = race(
        model,
        model,
        recent=evaluation_set,
        require_improvement=True,
        progress=lambda what, done, total: steps.append(what),
    )
    assert [name for name, gate in gates.items() if gate.verdict is Verdict.FAIL] == []
    assert gates["golden"].verdict is Verdict.PASS
    assert gates["golden"].reason.startswith("top-1 1.000 → 1.000, difference 0.000")
    assert gates["recent"].verdict is Verdict.UNDECIDED
    assert {name for name in gates if "class" in name or "half" in name} == {
        *(f"class {name}" for name in ("blue", "green", "red")),
        *(f"recent class {name}" for name in ("blue", "green", "red")),
        "first half",
        "recent first half",
    }
    assert gates["peak_rss_mb"].verdict is Verdict.PASS
    assert gates["budget size_mb"].verdict is Verdict.PASS
    assert "comparing predictions" in steps


def test_a_slow_challenger_is_as_right_and_fails_by_its_latency(
    race: Any, make_classifier: Any
) -> None:
    gates = race(make_classifier("fast"), make_classifier("slow", matmuls=8))
    busy = is_busy(gates["p95_ms"].noise)
    assert gates["p95_ms"].verdict is (Verdict.UNDECIDED if busy else Verdict.FAIL), (
        "others may use this machine, too"
    )
    assert gates["p95_ms"].difference[0] > 2
    assert "interleaved calls each" in gates["p95_ms"].reason
    assert gates["golden"].verdict is Verdict.PASS


def test_a_challenger_that_is_wrong_fails_by_accuracy_and_one_that_does_not_load_is_not_evaluated(
    race: Any, make_classifier: Any
) -> None:
    model, wrong = make_classifier("model"), make_classifier("wrong", turned=True)
    gates = race(model, wrong)
    assert gates["golden"].verdict is Verdict.FAIL
    assert gates["golden"].difference[0] == -1
    wrong.path.write_bytes(b"not a model")

    def refuse() -> Check:
        raise BundleError("a model that loads", found="not a model")

    gates = race(model, wrong, smoke=refuse)
    assert gates["bundle"].verdict is Verdict.FAIL
    assert gates["bundle"].reason == "expected a model that loads, found not a model"
    assert gates["golden"].verdict is gates["p95_ms"].verdict is Verdict.NOT_EVALUATED
    assert "the challenger could not be run: " in gates["golden"].reason
    assert "the file has changed" in gates["p95_ms"].reason


def test_without_a_champion_nothing_that_compares_is_evaluated(
    race: Any, make_classifier: Any
) -> None:
    gates = race(None, make_classifier("model"))
    assert {name for name, gate in gates.items() if gate.verdict is Verdict.PASS} == {
        "bundle",
        "budget size_mb",
    }
    assert gates["golden"].challenger == 1.0
    assert gates["golden"].reason == "there is no champion to compare with"
    assert gates["p95_ms"].challenger is not None


@pytest.mark.parametrize(
    ("known", "words"), [(None, "nobody knows"), ("sha of another", "sha256 sha of golde")]
)
def test_another_golden_set_than_the_champions_is_not_evaluated(
    race: Any, make_classifier: Any, known: str | None, words: str
) -> None:
    model, too_short = (
        make_classifier("model"),
        LENIENT.model_copy(update={"rounds": 1, "calls": 1}),
    )
    gates = race(model, model, golden_sha256_of_champion=known, policy=too_short)
    assert gates["golden"].verdict is Verdict.NOT_EVALUATED
    assert words in gates["golden"].reason
    assert gates["p95_ms"].reason == "1 call in 1 round: too few for a p95"


def test_models_and_images_of_other_classes_are_refused(
    race: Any, evaluation_set: EvaluationSet, make_classifier: Any
) -> None:
    others = replace(evaluation_set.dataset, class_names=("a", "b", "red"))
    with pytest.raises(
        IncompatibleError,
        match=r"blue, green, red, found a \(images: 4\), b \(images: 4\) of golden",
    ):
        race(None, make_classifier("model"), golden=EvaluationSet(others))
    with pytest.raises(IncompatibleError, match="found one to classify red, green, cyan"):
        race(
            make_classifier("other", class_names=("red", "green", "cyan")), make_classifier("model")
        )


def test_classes_are_matched_by_name_whatever_their_order_is(
    race: Any, evaluation_set: EvaluationSet, make_classifier: Any
) -> None:
    """Three orders: the images', the champion's and the challenger's."""
    champion = make_classifier("champion", turned=True, class_names=("red", "blue", "green"))
    images = replace(
        evaluation_set.dataset,
        class_names=("green", "blue", "red"),
        images=tuple(
            replace(one, truth=one.truth.renumbered((1, 0, 2), 3))
            for one in evaluation_set.dataset.images
        ),
    )
    gates = race(champion, make_classifier("challenger"), golden=EvaluationSet(images))
    assert (gates["golden"].champion, gates["golden"].challenger) == (1, 1)
    assert all(gates[f"class {name}"].difference[0] == 0 for name in images.class_names)


def test_a_slice_of_other_images_is_refused(evaluation_set: EvaluationSet) -> None:
    with pytest.raises(ConfigError, match="a slice of 12 images"):
        EvaluationSet(evaluation_set.dataset, {"short": np.ones(3, np.bool_)})


def test_images_in_which_nothing_is_labelled_say_nothing_about_a_detector() -> None:
    images = tuple(
        LabelledImage(f"{k}.jpg", Path(f"{k}.jpg"), Detections.empty()) for k in range(40)
    )
    spec = VisionSpec("detect", ("thing",), (8, 8), Fit.STRETCH, "yolo")
    side = Side(Cost(None, 0, None, None), (tuple(image.truth for image in images),))
    evaluation_set = EvaluationSet(
        LabelledDataset(Path(), "recent", "detect", spec.class_names, images, "")
    )
    found = examine(evaluation_set, side, side, spec, 0)
    assert (found.images, found.difference) == (40, None)
    assert found.missing == "nobody labelled an object in these images"
