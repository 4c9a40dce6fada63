"""The production pipeline: pre-process → one or more models → combine → results.

It takes one image or many, and has asynchronous calls too.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from components.backends import Session
from components.contracts import BATCH, Prediction, Variant
from components.datasets.classes import class_ids, same_classes
from components.errors import ConfigError, FovealError, IncompatibleError
from components.images.reading import read_image
from components.inference.engine import Fitted, describe, open_model, predict_inputs
from components.inference.metrics import Metrics
from components.inference.predictor import About, ImageIds, Picture, Predictor, require_one_each
from components.inference.results import Metadata, PredictionResult
from components.vision import VisionTask, task_kind
from components.vision.combine import Combine
from components.vision.heads import head_of


@dataclass(frozen=True, eq=False)
class Member:
    """One model of a pipeline.

    Arguments:
        session: the open model; the pipeline calls it from one thread at a time, and closes it.
        task: what its input and outputs mean.
        weight: how much it counts against the others.
        name: for messages.

    Raises:
        ConfigError: the weight is not a positive number.
    """

    session: Session
    task: VisionTask
    weight: float = 1.0
    name: str = "model"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ConfigError(f"a positive weight for {self.name}", found=str(self.weight))


@dataclass
class _Job:
    """One image on its way through the pipeline."""

    image_id: str
    metadata: Metadata
    image: npt.NDArray[np.uint8] | None = None
    predictions: list[Prediction] = field(default_factory=list)
    ms: float = 0.0
    error: str = ""


class InferencePipeline(Predictor[PredictionResult]):
    """Predicts images with one model, or with several whose predictions it combines.

    A bad image never costs the others: its result says in `error` what is wrong with it. All
    methods may be called from several threads; an engine runs one batch at a time and has its own
    threads. Close the pipeline, or use it as a context manager.

    Arguments:
        members: the models; all of one task type with the same class names.
        combine: how several predictions of an image become one; None is `nms` for detectors and
            `average` for classifiers. It is not called for a single model.
        batch: images per engine call at most.
        workers: how many async calls are worked on at once; the others wait their turn.
        metrics: where to count; None makes new ones.

    Raises:
        ConfigError: there is no member, or a number is below 1.
        IncompatibleError: the members differ in task type or class names.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        combine: Combine | None = None,
        batch: int = BATCH,
        workers: int = 2,
        metrics: Metrics | None = None,
    ) -> None:
        _check_members(members)
        for name, value in (("batch", batch), ("workers", workers)):
            if value < 1:
                raise ConfigError(f"{name} of at least 1", found=str(value))
        spec = members[0].task.spec
        self.class_names = spec.class_names
        self.metrics = metrics or Metrics()
        self._members = [
            (member, class_ids(member.task.spec.class_names, spec.class_names), threading.Lock())
            for member in members
        ]
        self._weights = [member.weight for member in members]
        self._combine = combine or task_kind(spec.task).combine
        self._batch = batch
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="foveal-predict")

    @classmethod
    def open(
        cls,
        models: Sequence[Variant],
        *,
        device: str = "cpu",
        threads: int = 0,
        weights: Sequence[float] | None = None,
        combine: Combine | None = None,
        batch: int = BATCH,
    ) -> Self:
        """Open models and make a pipeline of them.

        Arguments:
            models: each a file on its backend, with its thresholds.
            device: as the backends call it.
            threads: of each engine; 0 is all cores.
            weights: of the models; None weighs them alike.
            combine: see the class.
            batch: see the class.

        Raises:
            ConfigError: there are not as many weights as models, or a number is out of range.
            ModelError: a model cannot be opened.
            UnavailableError: the backend or the device is not here.
        """
        weights = [1.0] * len(models) if weights is None else weights
        if len(weights) != len(models):
            raise ConfigError(f"{len(models)} weights for as many models", found=str(len(weights)))
        with ExitStack() as opened:
            members = []
            for model, weight in zip(models, weights, strict=True):
                session, task = open_model(model, device=device, threads=threads)
                opened.callback(session.close)
                members.append(Member(session, task, weight, model.name))
            pipeline = cls(members, combine=combine, batch=batch)
            opened.pop_all()
        return pipeline

    def predict_batch(
        self, images: Sequence[Picture], *, image_ids: ImageIds = None, metadata: About = None
    ) -> list[PredictionResult]:
        """Predict many images; see `Predictor.predict_batch`."""
        ids = (
            image_ids
            if image_ids is not None
            else [_name(image, k) for k, image in enumerate(images)]
        )
        about = metadata if metadata is not None else [{}] * len(images)
        require_one_each(images, image_ids=ids, metadata=about)
        started = time.perf_counter()
        results: list[PredictionResult] = []
        for k in range(0, len(images), self._batch):
            jobs = [
                _Job(*pair)
                for pair in zip(ids[k : k + self._batch], about[k : k + self._batch], strict=True)
            ]
            results += self._run(jobs, images[k : k + self._batch])
        self.metrics.count(results, started=started)
        return results

    async def apredict_batch(
        self, images: Sequence[Picture], *, image_ids: ImageIds = None, metadata: About = None
    ) -> list[PredictionResult]:
        """Run `predict_batch` on a thread beside the event loop, at most `workers` at once."""
        call = partial(self.predict_batch, images, image_ids=image_ids, metadata=metadata)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Wait for running calls, drop those that wait, and close the models; twice is fine."""
        self._pool.shutdown(cancel_futures=True)
        for member, *_ in self._members:
            member.session.close()

    def _run(self, jobs: list[_Job], images: Sequence[Picture]) -> list[PredictionResult]:
        for job, image in zip(jobs, images, strict=True):
            _read(job, image)
        for member, ids, lock in self._members:
            _predict(jobs, member, ids, lock)
        return [self._result(job) for job in jobs]

    def _result(self, job: _Job) -> PredictionResult:
        prediction = None
        if not job.error:
            started = time.perf_counter()
            alone = len(job.predictions) == 1
            prediction = (
                job.predictions[0] if alone else self._combine(job.predictions, self._weights)
            )
            job.ms += (time.perf_counter() - started) * 1e3
        return PredictionResult(
            job.image_id, prediction, self.class_names, job.ms, job.metadata, job.error
        )


def _check_members(members: Sequence[Member]) -> None:
    if not members:
        raise ConfigError("at least one model", found="none")
    first = members[0]
    for other in members[1:]:
        if other.task.spec.task != first.task.spec.task:
            raise IncompatibleError(
                "models of one task type",
                found=f"{first.name} to {first.task.spec.task} and {other.name} to "
                f"{other.task.spec.task}",
            )
        if not same_classes(other.task.spec.class_names, first.task.spec.class_names):
            raise IncompatibleError(
                f"the class names of {first.name} in every model, in any order",
                found=f"others in {other.name}",
                hint="combine models that were trained on the same classes",
            )
        if head_of(other.task.spec.head).exclusive != head_of(first.task.spec.head).exclusive:
            raise IncompatibleError(
                "models whose scores mean the same, probabilities that sum to 1 or a sigmoid's of "
                "each class",
                found=f"{first.task.spec.head} of {first.name} and {other.task.spec.head} of "
                f"{other.name}",
                hint="combine models of one kind",
            )


def _name(image: Picture, position: int) -> str:
    return str(image) if isinstance(image, Path | str) else str(position)


def _read(job: _Job, image: Picture) -> None:
    started = time.perf_counter()
    try:
        job.image = image if isinstance(image, np.ndarray) else read_image(image)
    except FovealError as error:
        job.error = describe(error)
    job.ms += (time.perf_counter() - started) * 1e3


def _predict(
    jobs: Sequence[_Job], member: Member, ids: Sequence[int], lock: threading.Lock
) -> None:
    """Add one model's predictions, renumbered by `ids`, to the jobs without a failure so far."""
    ready: list[tuple[_Job, Fitted]] = []
    for job in jobs:
        if job.image is None or job.error:
            continue
        started = time.perf_counter()
        try:
            ready.append((job, member.task.preprocess(job.image)))
        except FovealError as error:
            job.error = describe(error)
        job.ms += (time.perf_counter() - started) * 1e3
    with lock:
        outcomes = predict_inputs(member.session, member.task, [fitted for _, fitted in ready])
    ordered = list(ids) == list(range(len(ids)))
    for (job, _), outcome in zip(ready, outcomes, strict=True):
        job.ms += outcome.inference_ms + outcome.postprocess_ms
        if outcome.prediction is not None:
            job.predictions.append(
                outcome.prediction if ordered else outcome.prediction.renumbered(ids, len(ids))
            )
        elif outcome.error is not None:
            job.error = f"{member.name}: {describe(outcome.error)}"
