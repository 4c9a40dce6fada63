from __future__ import annotations

from pathlib import Path

from components.benchmark.selection import choose
from components.contracts import (
    Budget,
    Check,
    Fit,
    Format,
    Head,
    Latency,
    Measurement,
    ModelArtifact,
    Precision,
    Target,
    TaskType,
    Verdict,
    VisionSpec,
)

SPEC = VisionSpec(TaskType.CLASSIFY, ("a",), (8, 8), Fit.STRETCH, Head.LOGITS)
ARTIFACT = ModelArtifact(Path("model.onnx"), Format.ONNX, Precision.FP32, "0", SPEC, (), ())
TARGET = Target("embedded", "", ("onnxruntime",), "cpu", 0, (Precision.FP32,), Budget(size_mb=10))
TOO_LARGE = Check("size_mb", 38.2, 10.0, Verdict.FAIL)


def measured(
    variant: str,
    p50_ms: float | None,
    speedup: tuple[float, float, float] | None = None,
    *checks: Check,
    error: str = "",
) -> Measurement:
    latency = Latency(140, p50_ms, p50_ms, p50_ms, p50_ms)
    return Measurement(variant, ARTIFACT, "b", latency, 1.0, 8, 1.0, 1.0, {}, 1, speedup, checks, error)


def chosen_of(
    *measurements: Measurement, noise: float | None = 0.02, target: Target = TARGET
) -> tuple[str | None, list[str]]:
    chosen, reasons = choose(measurements, baseline="fp32", noise_floor=noise, target=target)
    return chosen, list(reasons)


def test_fastest_of_those_that_are_really_faster_ships() -> None:
    chosen, reasons = chosen_of(
        measured("fp32", 50), measured("int8", 40, (1.25, 1.2, 1.3)), measured("openvino", 45, (1.11, 1.08, 1.15))
    )
    assert chosen == "int8"
    assert reasons == [
        "int8: chosen for embedded, 1.25× [1.20, 1.30] of the baseline's speed",
        "fp32: the baseline; int8 is faster",
        "openvino: meets the limits, 1.11× [1.08, 1.15] of the baseline's speed, but int8 is faster",
    ]


def test_slower_variant_is_rejected_with_its_measured_ratio() -> None:
    chosen, reasons = chosen_of(measured("fp32", 50), measured("int8", 54, (0.93, 0.90, 0.95)))
    assert chosen == "fp32"
    assert reasons[0] == (
        "fp32: chosen for embedded, no other variant that meets the limits is really faster than this baseline"
    )
    assert reasons[1] == "int8: rejected, 0.93× [0.90, 0.95] of the baseline's speed"


def test_gain_within_the_noise_is_no_gain() -> None:
    chosen, reasons = chosen_of(measured("fp32", 50), measured("int8", 48, (1.04, 1.015, 1.08)))
    assert chosen == "fp32"
    assert reasons[1].endswith("1.04× [1.01, 1.08] of the baseline's speed is not above 1 plus the noise floor of 2.0%")


def test_gain_without_a_known_noise_floor_is_no_gain() -> None:
    chosen, reasons = chosen_of(measured("fp32", 50), measured("int8", 20, (2.5, 2.4, 2.6)), noise=None)
    assert chosen == "fp32"
    assert "noise is unknown" in reasons[1]


def test_too_few_rounds_choose_the_baseline_and_say_so() -> None:
    chosen, reasons = chosen_of(measured("fp32", 50), measured("int8", 20))
    assert chosen == "fp32"
    assert "too few rounds" in reasons[1]


def test_failed_limit_is_named_with_its_excess() -> None:
    chosen, reasons = chosen_of(measured("fp32", 50), measured("int8", 20, (2.5, 2.4, 2.6), TOO_LARGE))
    assert chosen == "fp32"
    assert reasons[1] == "int8: rejected, size of 38.20 MB exceeds the limit of 10.00 MB by 28.20 MB"


def test_slower_variant_ships_where_the_baseline_itself_fails_a_limit() -> None:
    chosen, reasons = chosen_of(measured("fp32", 50, None, TOO_LARGE), measured("int8", 60, (0.83, 0.8, 0.86)))
    assert chosen == "int8"
    assert reasons[0] == "int8: chosen for embedded, 0.83× [0.80, 0.86] of the baseline's speed"


def test_nothing_ships_when_every_variant_fails_a_limit() -> None:
    chosen, reasons = chosen_of(
        measured("fp32", 50, None, TOO_LARGE),
        measured("int8", 20, (2.5, 2.4, 2.6), Check("accuracy_drop", 0.05, 0.02, Verdict.FAIL)),
        measured("fp16", None, error="the worker process died of signal 9"),
    )
    assert chosen is None
    assert reasons == [
        "no variant meets every limit of embedded",
        "fp32: rejected, size of 38.20 MB exceeds the limit of 10.00 MB by 28.20 MB",
        "int8: rejected, drop in accuracy of 0.0500 exceeds the limit of 0.0200 by 0.0300",
        "fp16: not measured: the worker process died of signal 9",
    ]


def test_what_was_not_shown_of_the_chosen_variant_is_said() -> None:
    open_question = Check("p95_ms", 49.0, 50.0, Verdict.UNDECIDED, "between 47.0 and 52.0 ms; measured on host")
    chosen, reasons = chosen_of(measured("fp32", 50, None, open_question))
    assert chosen == "fp32"
    assert reasons[0].endswith("; 95th percentile undecided (between 47.0 and 52.0 ms; measured on host)")


def test_target_of_another_device_is_labelled_measured_on_host() -> None:
    target = Target("mobile", "", ("onnxruntime",), "cpu", 0, (Precision.FP32,), Budget(), measured_on_host=True)
    reason = chosen_of(measured("fp32", 50), target=target)[1][0]
    assert reason.startswith("fp32: chosen for mobile (measured on host),")
