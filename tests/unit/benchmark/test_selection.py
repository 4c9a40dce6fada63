from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.benchmark.selection import choose
from components.contracts import (
    Budget,
    Check,
    Fit,
    Format,
    Latency,
    Measurement,
    ModelArtifact,
    Precision,
    Target,
    Verdict,
    VisionSpec,
)

SPEC = VisionSpec("classify", ("a",), (8, 8), Fit.STRETCH, "logits")
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
    return Measurement(
        variant, ARTIFACT, "b", latency, 1.0, 8, 1.0, 1.0, {}, 1, speedup, checks, error
    )


def chosen_of(
    *measurements: Measurement,
    noise: float | None = 0.02,
    target: Target = TARGET,
    accept: bool = False,
) -> tuple[str | None, list[str]]:
    chosen, reasons = choose(
        measurements, baseline="fp32", noise_floor=noise, target=target, accept_noise=accept
    )
    return chosen, list(reasons)


def test_fastest_of_those_that_are_really_faster_ships() -> None:
    chosen, reasons = chosen_of(
        measured("fp32", 50),
        measured("int8", 40, (1.25, 1.2, 1.3)),
        measured("openvino", 45, (1.11, 1.08, 1.15)),
    )
    assert chosen == "int8"
    assert reasons == [
        "int8: chosen for embedded, 1.25× [1.20, 1.30] of the baseline's speed",
        "fp32: the baseline; int8 is faster",
        "openvino: meets the limits, 1.11× [1.08, 1.15] of the baseline's speed; int8 is faster",
    ]


def test_slower_variant_is_rejected_with_its_measured_ratio() -> None:
    chosen, reasons = chosen_of(measured("fp32", 50), measured("int8", 54, (0.93, 0.90, 0.95)))
    assert chosen == "fp32"
    assert reasons[0] == (
        "fp32: chosen for embedded, no other variant that meets the limits is really faster than "
        "this baseline"
    )
    assert reasons[1] == "int8: rejected, 0.93× [0.90, 0.95] of the baseline's speed"


def test_gain_within_the_noise_is_no_gain() -> None:
    chosen, reasons = chosen_of(measured("fp32", 50), measured("int8", 48, (1.04, 1.015, 1.08)))
    assert chosen == "fp32"
    assert reasons[1].endswith(
        "1.04× [1.01, 1.08] of the baseline's speed; 1.01× is not above 1.02×, 1 plus the noise "
        "floor"
    )


def test_gain_without_a_known_noise_floor_is_no_gain() -> None:
    chosen, reasons = chosen_of(
        measured("fp32", 50), measured("int8", 20, (2.5, 2.4, 2.6)), noise=None
    )
    assert chosen == "fp32"
    assert "noise is unknown" in reasons[1]


def test_too_few_rounds_choose_the_baseline_and_say_so() -> None:
    chosen, reasons = chosen_of(measured("fp32", 50), measured("int8", 20))
    assert chosen == "fp32"
    assert "too few rounds" in reasons[1]


def test_failed_limit_is_named_with_its_excess() -> None:
    chosen, reasons = chosen_of(
        measured("fp32", 50), measured("int8", 20, (2.5, 2.4, 2.6), TOO_LARGE)
    )
    assert chosen == "fp32"
    assert (
        reasons[1] == "int8: rejected, size of 38.20 MB exceeds the limit of 10.00 MB by 28.20 MB"
    )


def test_slower_variant_ships_where_the_baseline_itself_fails_a_limit() -> None:
    chosen, reasons = chosen_of(
        measured("fp32", 50, None, TOO_LARGE), measured("int8", 60, (0.83, 0.8, 0.86))
    )
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
    open_question = Check(
        "p95_ms", 49.0, 50.0, Verdict.UNDECIDED, "between 47.0 and 52.0 ms; measured on host"
    )
    chosen, reasons = chosen_of(measured("fp32", 50, None, open_question))
    assert chosen == "fp32"
    assert reasons[0].endswith(
        "; 95th percentile undecided (between 47.0 and 52.0 ms; measured on host)"
    )


def test_target_of_another_device_is_labelled_measured_on_host() -> None:
    target = Target(
        "mobile", "", ("onnxruntime",), "cpu", 0, (Precision.FP32,), Budget(), measured_on_host=True
    )
    reason = chosen_of(measured("fp32", 50), target=target)[1][0]
    assert reason.startswith("fp32: chosen for mobile (measured on host),")


def test_below_ten_calls_there_is_no_median_and_the_speed_against_the_baseline_decides() -> None:
    few = [
        measured("fp32", None),
        measured("fp16", None, (1.3, 1.2, 1.4)),
        measured("int8", None, (1.86, 1.7, 2.0)),
    ]
    chosen, reasons = chosen_of(*few)
    assert chosen == "int8"
    assert reasons == [
        "int8: chosen for embedded, 1.86× [1.70, 2.00] of the baseline's speed",
        "fp32: the baseline; int8 is faster",
        "fp16: meets the limits, 1.30× [1.20, 1.40] of the baseline's speed; int8 is faster",
    ]


@pytest.mark.parametrize("p50_ms", [None, 40.0])
def test_of_equal_variants_neither_is_called_faster(p50_ms: float | None) -> None:
    alike = (1.5, 1.4, 1.6)
    chosen, reasons = chosen_of(
        measured("fp32", 60), measured("a", p50_ms, alike), measured("b", p50_ms, alike)
    )
    assert chosen == "a"
    assert reasons[2].endswith("; nothing shows that it is faster than a, which comes first")


def test_without_speeds_medians_decide_and_without_those_the_order_of_the_plan() -> None:
    failed = measured("fp32", 50, None, TOO_LARGE)
    chosen, reasons = chosen_of(failed, measured("slow", 40), measured("fast", 30))
    assert chosen == "fast" and "; fast is faster by its median" in reasons[2]
    chosen, reasons = chosen_of(failed, measured("first", None), measured("second", None))
    assert chosen == "first" and reasons[2].endswith("than first, which comes first")
    assert not any(" faster by" in reason or reason.endswith("is faster") for reason in reasons)


speeds = st.none() | st.lists(st.floats(0.2, 5), min_size=3, max_size=3).map(
    lambda values: (sorted(values)[1], min(values), max(values))
)
variants = st.lists(st.tuples(st.none() | st.floats(0.1, 100), speeds), min_size=1, max_size=4)


@given(variants, st.none() | st.floats(0.1, 100), st.none() | st.floats(0, 2), st.booleans())
def test_whoever_is_called_faster_has_the_better_number(
    others: list[tuple[float | None, tuple[float, float, float] | None]],
    p50_ms: float | None,
    noise: float | None,
    unfit: bool,
) -> None:
    baseline = measured("fp32", p50_ms, None, *([TOO_LARGE] if unfit else []))
    named = [measured(f"v{number}", *values) for number, values in enumerate(others)]
    chosen, reasons = chosen_of(baseline, *named, noise=noise)
    best = next(m for m in (baseline, *named) if m.variant == chosen)
    for m in named:
        (reason,) = (line for line in reasons if line.startswith(f"{m.variant}: "))
        if reason.endswith(f"; {chosen} is faster"):
            assert m.speedup and best.speedup and best.speedup[0] > m.speedup[0]
        if "not above" in reason:
            assert m.speedup and noise is not None and m.speedup[1] <= 1 + noise


def test_an_excess_is_never_shown_as_none() -> None:
    hair = Check("size_mb", 10.001, 10.0, Verdict.FAIL)
    assert chosen_of(measured("fp32", 50, None, hair))[1][1] == (
        "fp32: rejected, size of 10.001 MB exceeds the limit of 10.000 MB by 0.001 MB"
    )


def test_a_drop_that_is_undecided_ships_with_a_word_unless_it_was_measured_beyond_its_limit() -> (
    None
):
    within = Check("accuracy_drop", 0.01, 0.02, Verdict.UNDECIDED, "between -0.0100 and 0.0300")
    beyond = Check("accuracy_drop", 0.03, 0.02, Verdict.UNDECIDED, "between -0.0100 and 0.0700")
    faster = (1.5, 1.4, 1.6)
    chosen, reasons = chosen_of(
        measured("fp32", 50),
        measured("a", 40, faster, within),
        measured("b", 30, (2, 1.9, 2.1), beyond),
    )
    assert chosen == "a"
    assert reasons[0].endswith("; drop in accuracy undecided (between -0.0100 and 0.0300)")
    assert reasons[2] == (
        "b: rejected, drop in accuracy of 0.0300 exceeds the limit of 0.0200 by 0.0100 as measured "
        "(between -0.0100 and 0.0700)"
    )


def test_on_a_busy_machine_the_baseline_ships_unless_somebody_accepts_the_noise() -> None:
    both = [measured("fp32", 50), measured("int8", 20, (2.5, 1.9, 2.9))]
    chosen, reasons = chosen_of(*both, noise=0.36)
    assert chosen == "fp32"
    assert reasons == [
        "fp32: chosen for embedded, speeds were not compared",
        "busy machine: measure again; a noise floor of 36.0% is above 30%",
        "int8: not compared, 2.50× [1.90, 2.90] of the baseline's speed in a noise floor of 36.0%",
    ]
    assert chosen_of(*both, noise=0.36, accept=True)[0] == "int8"
    chosen, reasons = chosen_of(measured("fp32", 50, None, TOO_LARGE), both[1], noise=0.36)
    assert chosen == "int8" and "busy machine" in reasons[1]
