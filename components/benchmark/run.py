"""Benchmark run: a model's variants measured interleaved and checked against budget, one chosen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Protocol

from components.backends import free_batch
from components.benchmark.plan import BenchmarkSettings, plan_variants
from components.benchmark.report import build_report, noise_of
from components.benchmark.selection import is_busy
from components.benchmark.variant_run import (
    Progress,
    VariantRun,
    open_variants,
    predict,
    time_rounds,
)
from components.benchmark.worker_client import Worker
from components.contracts import BenchmarkReport, LabelledImage, ModelArtifact, Target
from components.datasets.classes import in_classes_of
from components.datasets.dataset import LabelledDataset
from components.errors import DatasetError, ModelError

MAX_LOOKS = 3


class LabelledImages(Protocol):
    """Labelled images that the accuracy is measured on."""

    @property
    def images(self) -> Sequence[LabelledImage]:
        """With their ground truth."""


def run_benchmark(
    artifacts: Sequence[ModelArtifact],
    *,
    target: Target,
    dataset: LabelledImages,
    settings: BenchmarkSettings | None = None,
    progress: Progress | None = None,
    timeout_s: float = 600.0,
) -> BenchmarkReport:
    """Measure artifact × backend, each in its own process, and choose what ships on the target.

    The processes take short turns in shuffled order, round after round, so that a busy moment of
    the machine meets all of them. One of them is the baseline once more: how unlike itself it looks
    is the noise floor. A variant that fails is reported with its error, and the others go on. While
    the noise floor is above 30 % the rounds are repeated, three times as many at most: a busy
    machine needs more of them.

    Arguments:
        artifacts: the model as given, in FP32, and what was made of it.
        target: backends, device, threads and limits.
        dataset: labelled images; the accuracy is measured on all of them, the latency on a few. The
            classes of a `LabelledDataset` are matched by name, those of other images by id.
        settings: how long to measure; rounds × calls must reach 130 for a p95, and the batch is 1
            where a model's is fixed.
        progress: called with what is being done, how much of it is done, and out of how much.
        timeout_s: a worker that has not answered by then is ended; predictions get as much per 64
            images.

    Raises:
        ConfigError: backends that run none of the artifacts.
        DatasetError: the dataset has no images.
        IncompatibleError: it is labelled with classes that the model does not know.
        ModelError: there is no FP32 artifact, or no variant could be measured.
    """
    settings = settings or BenchmarkSettings()
    if not dataset.images:
        raise DatasetError("labelled images to measure on", found="none")
    if isinstance(dataset, LabelledDataset) and artifacts:
        dataset = in_classes_of(dataset, artifacts[0].spec.class_names)
    advance = progress or (lambda what, done, total: None)
    variants = plan_variants(artifacts, target)
    with ExitStack() as stack:
        *trials, twin = [
            VariantRun(
                variant,
                settings.batch if free_batch(variant.artifact) else 1,
                stack.enter_context(Worker()),
            )
            for variant in (*variants, variants[0])
        ]
        open_variants([*trials, twin], target, dataset.images, timeout_s, advance)
        for look in range(MAX_LOOKS):
            time_rounds([*trials, twin], settings.rounds, settings.calls, look, timeout_s, advance)
            if not is_busy(noise_of(trials[0], twin)):
                break
        twin.worker.close()
        _predict_all(trials, dataset.images, timeout_s, advance)
    if all(trial.error for trial in trials):
        found = "; ".join(f"{trial.variant.name}: {trial.error}" for trial in trials)
        raise ModelError("at least one variant that can be measured", found=found)
    return build_report(trials, twin, target, dataset.images, accept_noise=settings.accept_noise)


def _predict_all(
    trials: Sequence[VariantRun],
    images: Sequence[LabelledImage],
    timeout_s: float,
    advance: Progress,
) -> None:
    """Predict all images with exactly the file that was timed, in the process that timed it."""
    total = len(trials) * len(images)
    for number, trial in enumerate(trials):
        done = number * len(images)
        for chunk in predict([trial], images, timeout_s):
            done += chunk
            advance("measuring accuracy", done, total)
        trial.worker.close()
