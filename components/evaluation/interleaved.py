"""Interleaved run of champion and challenger: their costs and predictions of the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

from components.backends import free_batch
from components.benchmark.variant_run import (
    Progress,
    VariantRun,
    open_variants,
    predict,
    time_rounds,
)
from components.benchmark.worker_client import Worker
from components.contracts import BATCH, LabelledImage, Prediction, Target, Variant
from components.printing import counted
from components.statistics.timings import Estimate, p95_interval, p95_ratio

LOOKS = 4  # as often the rounds are repeated while the times do not decide


@dataclass(frozen=True)
class Cost:
    """Cost of one of two compared models; None where it was not measured.

    `calls` is how many calls were timed.
    """

    p95: Estimate | None
    calls: int
    size_mb: float | None
    peak_rss_mb: float | None


@dataclass(frozen=True)
class Ratio:
    """The challenger's p95 as a multiple of the champion's, and the champion's noise in this run.

    `noise` is the largest |ratio − 1| within the interval of the champion against itself (A/A), or
    None; `missing` says why there is no ratio.
    """

    p95: Estimate | None = None
    noise: float | None = None
    missing: str = ""


@dataclass(frozen=True)
class Side:
    """Results of one of the two models.

    Arguments:
        cost: as far as it was measured.
        predictions: for each set of images one prediction an image; empty where it failed.
        error: why it could not be run, or empty.
        confidence: the threshold that it was released with; the predictions are made with that of
            evaluation.
    """

    cost: Cost
    predictions: tuple[tuple[Prediction, ...], ...]
    error: str = ""
    confidence: float = 0.25


@dataclass(frozen=True)
class Timing:
    """Settings of the timing of two models.

    Arguments:
        rounds: interleaved rounds of one look.
        calls: timed calls in each.
        decided: whether the times measured so far are enough.
        timeout_s: a worker that has not answered by then is ended.
    """

    rounds: int
    calls: int
    decided: Callable[[Ratio], bool]
    timeout_s: float = 600.0


def measure_both(
    champion: Variant | None,
    challenger: Variant,
    sets: Sequence[Sequence[LabelledImage]],
    *,
    target: Target,
    timing: Timing,
    progress: Progress,
) -> tuple[Side | None, Side, Ratio]:
    """Run both, each in a process of its own, and the champion in a second one.

    The processes take short turns in shuffled order, as in a benchmark. While `timing.decided` says
    no the rounds go on, four times as many at most: a busy machine needs more of them.

    Arguments:
        champion: None where there is none.
        challenger: what is compared with it.
        sets: the images that both predict, with the thresholds of evaluation; the first times them,
            too.
        target: device and threads for both.
        timing: how long they are timed.
        progress: told what is being done.

    Returns:
        The champion's side, the challenger's, and the ratio of their times.
    """
    timeout_s = timing.timeout_s
    with ExitStack() as stack:
        contenders = [challenger] if champion is None else [challenger, champion, champion]
        trials = [_trial(contender, stack.enter_context(Worker())) for contender in contenders]
        open_variants(trials, target, sets[0], timeout_s, progress)
        ratio = Ratio()
        for look in range(LOOKS):
            if not any(trial.error for trial in trials):
                time_rounds(trials, timing.rounds, timing.calls, look, timeout_s, progress)
            ratio = _ratio(trials)
            if timing.decided(ratio):
                break
        for twin in trials[2:]:
            twin.worker.close()
        done, total = 0, sum(map(len, sets))
        for images in sets:
            for chunk in predict(trials[:2], images, timeout_s):
                done += chunk
                progress("comparing predictions", done, total)
        sides = [_side(trial, [len(images) for images in sets]) for trial in trials[:2]]
    return (sides[1] if champion else None), sides[0], ratio


def _trial(contender: Variant, worker: Worker) -> VariantRun:
    artifact = contender.artifact
    variant = Variant(
        contender.name, artifact, contender.backend, contender.confidence, contender.iou
    )
    return VariantRun(variant, BATCH if free_batch(artifact) else 1, worker)


def _ratio(trials: Sequence[VariantRun]) -> Ratio:
    if len(trials) < 3:
        return Ratio(missing="there is no champion")
    if failed := next((trial for trial in trials if trial.error), None):
        return Ratio(missing=f"{failed.variant.name} could not be timed: {failed.error}")
    challenger, champion, twin = (trial.calls_ms for trial in trials)
    itself = p95_ratio(champion, twin)
    if itself is None:
        calls, rounds = sum(map(len, champion)), len(champion)
        few = f"{counted(calls, 'call')} in {counted(rounds, 'round')}: too few for a p95"
        return Ratio(missing=few)
    return Ratio(p95_ratio(champion, challenger), max(abs(itself.low - 1), abs(itself.high - 1)))


def _side(trial: VariantRun, sizes: Sequence[int]) -> Side:
    """Return the results of a model's run; `sizes` are the image counts of the sets, in order."""
    file = trial.variant.artifact.path
    size = trial.variant.artifact.size_mb if file.is_file() else None
    calls = sum(map(len, trial.calls_ms))
    p95 = None if trial.error else p95_interval(trial.calls_ms)
    cost = Cost(p95, calls, size, None if trial.error else trial.peak_rss_mb)
    predictions = iter(() if trial.error else trial.predictions)
    found = tuple(tuple(islice(predictions, images)) for images in sizes)
    return Side(cost, found, trial.error, trial.variant.confidence)
