"""A busy machine's benchmark: a person decides, and where nobody is there the baseline ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.benchmark import choose_again
from components.contracts import (
    BenchmarkReport,
    Budget,
    Fit,
    Format,
    Latency,
    Measurement,
    ModelArtifact,
    Precision,
    Target,
    VisionSpec,
)
from flows.reporting.progress import answering
from flows.tasks import components as tasks

SPEC = VisionSpec("classify", ("a",), (8, 8), Fit.STRETCH, "logits")
ARTIFACT = ModelArtifact(Path("model.onnx"), Format.ONNX, Precision.FP32, "0", SPEC, (), ())
TARGET = Target("workstation", "", ("onnxruntime",), "cpu", 0, (Precision.FP32,), Budget())


def measured(
    variant: str, p50_ms: float, speedup: tuple[float, float, float] | None = None
) -> Measurement:
    latency = Latency(140, p50_ms, p50_ms, p50_ms, p50_ms)
    return Measurement(variant, ARTIFACT, "b", latency, 1.0, 8, 1.0, 1.0, {}, 1, speedup, (), "")


def report(noise: float) -> BenchmarkReport:
    variants = (measured("fp32", 50), measured("int8", 20, (2.5, 1.9, 2.9)))
    made = BenchmarkReport(TARGET, variants, "fp32", None, (), noise, "top1", {})
    return choose_again(made, accept_noise=False)


def never() -> BenchmarkReport:
    raise AssertionError("not to be measured again")


def test_without_anybody_to_ask_the_baseline_ships_and_the_reasons_say_why():
    done = tasks.settle(report(0.36), never, accept_noise=False)
    assert done.chosen == "fp32"
    assert "busy machine: measure again; a noise floor of 36.0% is above 30%" in done.reasons


def test_whoever_accepts_the_noise_is_not_asked():
    with answering(lambda question: pytest.fail(question)):
        assert tasks.settle(report(0.36), never, accept_noise=True).chosen == "int8"
        assert tasks.settle(report(0.05), never, accept_noise=False).chosen == "int8"


def test_a_person_may_measure_again_until_it_is_quiet_or_decide_on_what_there_is():
    asked, runs = [], [report(0.4), report(0.1)]

    def again(question: str) -> bool:
        asked.append(question)
        return True

    with answering(again):
        done = tasks.settle(report(0.36), lambda: runs.pop(0), accept_noise=False)
    assert (done.chosen, done.noise_floor, runs) == ("int8", 0.1, [])
    assert asked == [
        f"busy machine: a noise floor of ±{floor} %; measure again?" for floor in (36, 40)
    ]
    with answering(lambda question: False):
        assert tasks.settle(report(0.36), never, accept_noise=False).chosen == "int8"
    with answering(lambda question: None):
        assert tasks.settle(report(0.36), never, accept_noise=False).chosen == "fp32"
