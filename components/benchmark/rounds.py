"""Interleaved rounds: several processes on one machine, measured so that a busy moment meets all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from components.benchmark.messages import Open, Opened, Predict, Predicted
from components.benchmark.trial import Trial
from components.contracts import LabelledImage, Target

Progress = Callable[[str, int, int], None]

TIMED_IMAGES = 16  # enough to rotate through scenes, few enough to keep decoded in memory
CHUNK = 64  # images of one request to predict
TURN = 5  # calls before the next process has its turn: so short that a busy second of the machine meets all of them


def open_trials(
    trials: Sequence[Trial], target: Target, images: Sequence[LabelledImage], timeout_s: float, advance: Progress
) -> None:
    """Load all at the same time: nothing is timed yet."""
    paths = _spread([image.path for image in images], TIMED_IMAGES)
    for trial in trials:
        variant = trial.variant
        trial.tell(
            Open(
                variant.artifact,
                variant.backend,
                target.device,
                target.threads,
                paths,
                trial.batch,
                variant.confidence,
                variant.iou,
            )
        )
    for done, trial in enumerate(trials, start=1):
        trial.hear(Opened, timeout_s)
        advance("opening variants", done, len(trials))


def _spread(paths: Sequence[Path], count: int) -> tuple[Path, ...]:
    """At most `count` of the paths, evenly spread over their order."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int))
    return tuple(paths[k] for k in chosen)


def time_rounds(
    trials: Sequence[Trial], rounds: int, calls: int, seed: int, timeout_s: float, advance: Progress
) -> None:
    """Give every worker several short turns in each round, alone, in an order that is drawn anew each time."""
    order = list(trials)
    shuffle = random.Random(seed).shuffle  # noqa: S311
    for done in range(1, rounds + 1):
        for trial in trials:
            trial.begin_round()
        for start in range(0, calls, TURN):
            shuffle(order)
            for trial in order:
                trial.measure(min(TURN, calls - start), 1 if start == 0 else 0, timeout_s)
        advance("timing rounds", done, rounds)


def predict(trials: Sequence[Trial], images: Sequence[LabelledImage], timeout_s: float) -> Iterator[int]:
    """Have all trials predict the images, at the same time; the answers are appended to their predictions.

    Arguments:
        trials: opened.
        images: in the order of the predictions.
        timeout_s: a worker that has not answered a request of 64 images by then is ended.

    Yields:
        After each request, its number of images.
    """
    for start in range(0, len(images), CHUNK):
        request = Predict(tuple(image.path for image in images[start : start + CHUNK]))
        for trial in trials:
            trial.tell(request)
        for trial in trials:
            if answer := trial.hear(Predicted, timeout_s):
                trial.predictions += [found.prediction() for found in answer.found]
        yield len(request.images)
