"""Rules of the gates: from two models' measurements to each gate's verdict and one-line reason.

- golden: the lower bound of the two-sided 95 % interval of the difference must lie above −margin
  (non-inferiority).
- recent, where these images were the cause: the lower bound at a one-sided confidence of 99.9 %
  must lie above the least improvement. A retraining is tried again and again, and each try is a
  chance to win by luck: of a thousand that are no better one passes. The deciding metric shows it,
  or where its interval is too wide for that, the score of single images (`improvement`). Where they
  were not the cause: not significantly worse, by more than the margin.
- slices and classes: none may be significantly worse than by the margin. One that has lost more
  than the margin, and is significantly worse at all, is undecided. Both are tested over the whole
  family by Holm's method at 5 %, so that of challengers that are no worse one in twenty at most is
  held back by chance.
- times, size and memory: see `cost_rules`.

Missing is not passing: what could not be measured, or has no limit, is `not_evaluated` and
required.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from components.contracts import Check, Gate, Verdict
from components.evaluation.cost_rules import check_gate, no_limit, p95_gate, ratio_gate, too_much
from components.evaluation.gate_policy import GatePolicy
from components.evaluation.interleaved import Cost, Ratio
from components.printing import counted
from components.statistics.differences import Difference, holm
from components.statistics.improvement import CONFIDENCE, evaluate_improvement

FAMILY_ERROR = 0.05  # of all slices together
_METRICS = {"map50_95": "mAP50-95", "top1": "top-1"}
IMAGE_SCORE = "F1 of an image"


@dataclass(frozen=True)
class Slice:
    """One group of images, or one class, of an evaluated set."""

    name: str
    samples: int
    unit: str
    difference: Difference | None


@dataclass(frozen=True)
class EvaluationResult:
    """Two models on one labelled set.

    Arguments:
        images: how many.
        metric: the one that decides.
        champion, challenger: their values, None where one could not be measured.
        difference: None where there is nothing to compare.
        slices: of the set, classes included.
        by_image: the difference of the mean score of an image, where that is another metric than
            the one that decides.
        missing: why there is no difference, or why it does not count.
    """

    images: int
    metric: str
    champion: float | None = None
    challenger: float | None = None
    difference: Difference | None = None
    slices: tuple[Slice, ...] = ()
    missing: str = ""
    by_image: Difference | None = None


@dataclass(frozen=True)
class Evidence:
    """All that the gates rest on.

    Arguments:
        golden: the frozen set.
        recent: images since the drift, or None.
        champion, challenger: what they cost, or None.
        ratio: of their times.
        missing: why something about time and memory is not known.
        budget: the challenger against the target's own limits.
        bundle: what loading and querying it found.
    """

    golden: EvaluationResult
    recent: EvaluationResult | None
    champion: Cost | None
    challenger: Cost | None
    ratio: Ratio
    missing: str
    budget: tuple[Check, ...]
    bundle: Check


def evaluate_gates(
    evidence: Evidence, policy: GatePolicy, *, require_improvement: bool
) -> tuple[Gate, ...]:
    """All gates: accuracy first, then cost, then the bundle.

    Arguments:
        evidence: as far as there is any.
        policy: the limits.
        require_improvement: the recent images were the cause, and on them the challenger must be
            better.
    """
    gates = [_non_inferior(evidence.golden, policy)]
    if require_improvement:
        gates.append(_improved(evidence.recent, policy))
    elif evidence.recent:
        gates.append(_not_lost(evidence.recent, policy))
    gates += _slices(evidence, policy)
    costs = evidence.champion, evidence.challenger
    gates.append(p95_gate(costs, evidence.ratio, policy.latency_increase, evidence.missing))
    sizes, memory = [], []
    for cost in costs:
        sizes.append(cost.size_mb if cost else None)
        memory.append(cost.peak_rss_mb if cost else None)
    gates.append(ratio_gate("size_mb", sizes, policy.size_ratio, evidence.missing))
    gates.append(ratio_gate("peak_rss_mb", memory, policy.memory_ratio, evidence.missing))
    for check in evidence.budget:
        noise = too_much(evidence.ratio.noise) if check.name == "p95_ms" else None
        gates.append(replace(check_gate(f"budget {check.name}", check), noise=noise))
    return (*gates, check_gate("bundle", evidence.bundle))


def _unknown(
    examined: EvaluationResult | None,
    name: str,
    limit: float | None,
    reason: str,
    *,
    required: bool = True,
) -> Gate:
    """Return an accuracy gate that cannot be evaluated, with the values that are known."""
    champion, challenger = (examined.champion, examined.challenger) if examined else (None, None)
    difference = _interval(examined.difference) if examined and examined.difference else None
    images = examined.images if examined else 0
    return Gate(
        name,
        champion,
        challenger,
        difference,
        limit,
        None,
        images,
        Verdict.NOT_EVALUATED,
        reason,
        required,
    )


def _non_inferior(golden: EvaluationResult, policy: GatePolicy) -> Gate:
    margin, difference = policy.margin, golden.difference
    limit = None if margin is None else -margin
    if margin is None or difference is None or golden.missing:
        return _unknown(
            golden,
            "golden",
            limit,
            golden.missing or no_limit(margin, "margin") or "nothing to compare",
        )
    achievable = difference.achievable(CONFIDENCE)
    low, high = difference.low(CONFIDENCE), difference.high(CONFIDENCE)
    verdict = (
        Verdict.PASS if low > -margin else Verdict.FAIL if high < -margin else Verdict.UNDECIDED
    )
    reason = (
        f"{_compared(golden)}; the margin is {margin:g}, {achievable:.3f} could have been shown"
    )
    if golden.images < policy.minimum_images:
        verdict, reason = (
            Verdict.UNDECIDED,
            f"{reason}; {policy.minimum_images} images are the least",
        )
    elif verdict is Verdict.UNDECIDED and achievable > margin:
        reason += (
            f", about {counted(ceil(golden.images * (achievable / margin) ** 2), 'image')} "
            f"would show {margin:g}"
        )
    return Gate(
        "golden",
        golden.champion,
        golden.challenger,
        _interval(difference),
        -margin,
        achievable,
        golden.images,
        verdict,
        reason,
    )


def _improved(recent: EvaluationResult | None, policy: GatePolicy) -> Gate:
    least = policy.least_improvement
    if recent is None:
        return _unknown(None, "recent", least, "there are no recent labelled images")
    difference = recent.difference
    if least is None or difference is None or recent.missing:
        reason = recent.missing or no_limit(least, "least improvement") or "nothing to compare"
        return _unknown(recent, "recent", least, reason)
    found = evaluate_improvement(difference, recent.by_image, least)
    verdict, needed = found.verdict, found.needed
    reason = _gained(recent, found.confidence, least)
    if found.by_image and recent.by_image:
        recent = replace(
            recent, champion=recent.by_image.champion, challenger=recent.by_image.challenger
        )
        difference = recent.by_image or difference
    if recent.images < policy.minimum_images:
        verdict, needed = Verdict.UNDECIDED, max(needed or 0, policy.minimum_images)
        reason += f"; {policy.minimum_images} images are the least"
    elif needed:
        reason += f"; about {needed} such images would show it, {needed - recent.images} more"
    achievable = difference.achievable(found.confidence)
    gate = _of_recent(recent, difference, least, achievable, verdict, reason)
    return replace(gate, images_needed=needed)


def _gained(recent: EvaluationResult, confidence: float, least: float) -> str:
    """Describe the difference in each of the tests, with its one-sided bound."""
    tests = [(_label(recent.metric), recent.difference), (IMAGE_SCORE, recent.by_image)]
    words = [
        f"{_spelled(label, test)}, {_signed(test.low(confidence))} or more at {100 * confidence:g} "
        "%"
        for label, test in tests
        if test
    ]
    return f"{'; '.join(words)}; on {counted(recent.images, 'image')} one must exceed {least:g}"


def _not_lost(recent: EvaluationResult, policy: GatePolicy) -> Gate:
    """Require no loss on recent images that were not the cause; a gain on them is not needed."""
    margin, difference = policy.margin, recent.difference
    limit = None if margin is None else -margin
    if margin is None or difference is None or recent.missing:
        reason = recent.missing or no_limit(margin, "margin") or "nothing to compare"
        return _unknown(recent, "recent", limit, reason, required=False)
    at_best, verdict, words = (
        difference.high(CONFIDENCE),
        Verdict.PASS,
        f"not significantly worse by {margin:g}",
    )
    if at_best < -margin:
        verdict, words = Verdict.FAIL, f"worse by more than {margin:g}"
    elif at_best < 0 and difference.value < -margin:
        verdict, words = Verdict.UNDECIDED, f"worse, perhaps by more than {margin:g}"
    reason = f"{_compared(recent)}; {words}"
    return _of_recent(
        recent, difference, -margin, difference.achievable(CONFIDENCE), verdict, reason
    )


def _of_recent(
    recent: EvaluationResult,
    difference: Difference,
    limit: float,
    achievable: float,
    verdict: Verdict,
    reason: str,
) -> Gate:
    interval = _interval(difference)
    values = recent.champion, recent.challenger
    return Gate("recent", *values, interval, limit, achievable, recent.images, verdict, reason)


def _slices(evidence: Evidence, policy: GatePolicy) -> Iterator[Gate]:
    """Evaluate the slices of both sets, as one family."""
    every = [("golden", evidence.golden.metric, part) for part in evidence.golden.slices]
    if evidence.recent:
        every += [("recent", evidence.recent.metric, part) for part in evidence.recent.slices]
    margin = policy.slice_margin
    compared = [
        part.difference
        for _, _, part in every
        if part.difference and part.samples >= policy.slice_samples
    ]
    worse = iter(holm([difference.chance_above(0.0) for difference in compared]))
    beyond = iter(holm([difference.chance_above(-(margin or 0.0)) for difference in compared]))
    for whole, metric, part in every:
        if part.difference is None or part.samples < policy.slice_samples:
            reason = f"{part.samples} {part.unit}, {policy.slice_samples} are needed"
            if part.samples >= policy.slice_samples:
                reason = f"too few images or objects in these {part.samples} {part.unit} to compare"
            yield _sliced(whole, part, margin, Verdict.NOT_EVALUATED, reason, required=False)
        elif margin is None:
            yield _sliced(
                whole, part, None, Verdict.NOT_EVALUATED, no_limit(margin, "margin of slices")
            )
        else:
            verdict, words = _lost(
                part.difference.value, margin, next(worse), next(beyond), len(compared)
            )
            label = _label(metric).removeprefix("m") if part.unit == "objects" else _label(metric)
            reason = f"{_spelled(label, part.difference)} on {part.samples} {part.unit}; {words}"
            yield _sliced(whole, part, margin, verdict, reason)


def _lost(
    value: float, margin: float, worse: float, beyond: float, family: int
) -> tuple[Verdict, str]:
    """Evaluate two p-values after control of the family: any loss, and one beyond the margin."""
    if beyond <= FAMILY_ERROR:
        return (
            Verdict.FAIL,
            f"worse by more than {margin:g} (p = {beyond:.1g} among {family} slices)",
        )
    if worse <= FAMILY_ERROR and value < -margin:
        return (
            Verdict.UNDECIDED,
            f"worse (p = {worse:.1g} among {family} slices), perhaps by more than {margin:g}",
        )
    return Verdict.PASS, f"not significantly worse by {margin:g} among {family} slices"


def _sliced(
    whole: str,
    part: Slice,
    margin: float | None,
    verdict: Verdict,
    reason: str,
    *,
    required: bool = True,
) -> Gate:
    difference = part.difference
    return Gate(
        part.name if whole == "golden" else f"{whole} {part.name}",
        difference.champion if difference else None,
        difference.challenger if difference else None,
        _interval(difference) if difference else None,
        None if margin is None else -margin,
        None,
        part.samples,
        verdict,
        reason,
        required,
        whole,
    )


def _interval(difference: Difference) -> tuple[float, float, float]:
    return difference.value, difference.low(CONFIDENCE), difference.high(CONFIDENCE)


def _compared(examined: EvaluationResult) -> str:
    words = _spelled(_label(examined.metric), examined.difference) if examined.difference else ""
    return f"{words} on {counted(examined.images, 'image')}"


def _label(metric: str) -> str:
    return _METRICS.get(metric, metric)


def _spelled(label: str, difference: Difference) -> str:
    value, low, high = (_signed(number) for number in _interval(difference))
    return (
        f"{label} {difference.champion:.3f} → {difference.challenger:.3f}, difference {value} "
        f"[{low}, {high}]"
    )


def _signed(number: float) -> str:
    """A number with its sign; −0.000 is 0.000."""
    text = f"{number:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")
