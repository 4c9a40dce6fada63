"""Champion and challenger in one interleaved run: what each costs, and what each says about the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from components.backends import free_batch
from components.benchmark.crew import Worker
from components.benchmark.messages import Predict, Predicted
from components.benchmark.plan import Variant
from components.benchmark.rounds import Progress, open_trials, time_rounds
from components.benchmark.statistics import Estimate, p95_interval, p95_ratio
from components.benchmark.trial import Trial
from components.contracts import BATCH, LabelledImage, ModelArtifact, Prediction, Target

CHUNK = 64  # images between two reports of progress
LOOKS = 4  # as often the rounds are repeated while the times do not decide


@dataclass(frozen=True)
class Contender:
    """A model as it was released: exactly the file that ships, on the backend that it ships for.

    Arguments:
        name: NAME/VERSION.
        artifact: the file.
        backend: what runs it.
        confidence: of two thresholds that it was released with, the one that detections must exceed.
        iou: the other, the overlap above which NMS keeps one box.
    """

    name: str
    artifact: ModelArtifact
    backend: str
    confidence: float = 0.25
    iou: float = 0.7


@dataclass(frozen=True)
class Cost:
    """What one contender costs; None where it was not measured. `calls` is how many were timed."""

    p95: Estimate | None
    calls: int
    size_mb: float | None
    peak_rss_mb: float | None


@dataclass(frozen=True)
class Ratio:
    """The challenger's p95 as a multiple of the champion's, and how unlike itself the champion looks in this run.

    `noise` is the largest |ratio − 1| within the interval of the champion against itself (A/A), or None; `missing` says
    why there is no ratio.
    """

    p95: Estimate | None = None
    noise: float | None = None
    missing: str = ""


@dataclass(frozen=True)
class Side:
    """One contender after the run.

    Arguments:
        cost: as far as it was measured.
        predictions: for each set of images one prediction an image; empty where it failed.
        error: why it could not be run, or empty.
    """

    cost: Cost
    predictions: tuple[tuple[Prediction, ...], ...]
    error: str = ""


def hold_contest(
    champion: Contender | None,
    challenger: Contender,
    sets: Sequence[Sequence[LabelledImage]],
    *,
    target: Target,
    decided: Callable[[Ratio], bool],
    rounds: int,
    calls: int,
    timeout_s: float,
    progress: Progress,
) -> tuple[Side | None, Side, Ratio]:
    """Run both, each in a process of its own, and the champion in a second one.

    The processes take short turns in shuffled order, as in a benchmark. While `decided` says no the rounds go on, four
    times as many at most: a busy machine needs more of them.

    Arguments:
        champion: None where there is none.
        challenger: what is compared with it.
        sets: the images that both predict, with the thresholds of evaluation; the first times them, too.
        target: device and threads for both.
        decided: whether the times measured so far are enough.
        rounds: interleaved rounds of one look.
        calls: timed calls in each.
        timeout_s: a worker that has not answered by then is ended.
        progress: told what is being done.

    Returns:
        The champion's side, the challenger's, and the ratio of their times.
    """
    with ExitStack() as stack:
        contenders = [challenger] if champion is None else [challenger, champion, champion]
        trials = [_trial(contender, stack.enter_context(Worker())) for contender in contenders]
        open_trials(trials, target, sets[0], timeout_s, progress)
        ratio = Ratio()
        for look in range(LOOKS):
            if not any(trial.error for trial in trials):
                time_rounds(trials, rounds, calls, look, timeout_s, progress)
            ratio = _ratio(trials)
            if decided(ratio):
                break
        for twin in trials[2:]:
            twin.worker.close()
        both = [_Asked(trial) for trial in trials[:2]]
        _predict(both, sets, timeout_s, progress)
        sides = [asked.side(len(sets)) for asked in both]
    return (sides[1] if champion else None), sides[0], ratio


def _trial(contender: Contender, worker: Worker) -> Trial:
    artifact = contender.artifact
    variant = Variant(contender.name, artifact, contender.backend, contender.confidence, contender.iou)
    return Trial(variant, BATCH if free_batch(artifact) else 1, worker)


def _ratio(trials: Sequence[Trial]) -> Ratio:
    if len(trials) < 3:
        return Ratio(missing="there is no champion")
    if failed := next((trial for trial in trials if trial.error), None):
        return Ratio(missing=f"{failed.variant.name} could not be timed: {failed.error}")
    challenger, champion, twin = (trial.calls_ms for trial in trials)
    itself = p95_ratio(champion, twin)
    if itself is None:
        return Ratio(missing=f"{sum(map(len, champion))} calls in {len(champion)} rounds are too few for a p95")
    return Ratio(p95_ratio(champion, challenger), max(abs(itself.low - 1), abs(itself.high - 1)))


class _Asked:
    """One trial and its predictions so far."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.predictions: list[list[Prediction]] = []

    def side(self, sets: int) -> Side:
        trial = self.trial
        file = trial.variant.artifact.path
        size = trial.variant.artifact.size_mb if file.is_file() else None
        calls = sum(map(len, trial.calls_ms))
        p95 = None if trial.error else p95_interval(trial.calls_ms)
        cost = Cost(p95, calls, size, None if trial.error else trial.peak_rss_mb)
        found = ((),) * sets if trial.error else tuple(map(tuple, self.predictions))
        return Side(cost, found, trial.error)


def _predict(
    both: Sequence[_Asked], sets: Sequence[Sequence[LabelledImage]], timeout_s: float, progress: Progress
) -> None:
    """Both at the same time: nothing is timed any more."""
    done, total = 0, sum(map(len, sets))
    for images in sets:
        for asked in both:
            asked.predictions.append([])
        for start in range(0, len(images), CHUNK):
            request = Predict(tuple(image.path for image in images[start : start + CHUNK]))
            for asked in both:
                asked.trial.tell(request)
            for asked in both:
                answer = asked.trial.hear(Predicted, timeout_s)
                if answer:
                    asked.predictions[-1] += [found.prediction() for found in answer.found]
            done += len(request.images)
            progress("comparing predictions", done, total)
