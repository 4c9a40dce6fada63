"""The production pipeline: pre-process → one or more models → combine → keep → results.

It takes one image or many, and has asynchronous calls too.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self, cast

import numpy as np
import numpy.typing as npt

from components.contracts import BATCH, Prediction, Variant, View
from components.errors import ConfigError, FovealError, IncompatibleError
from components.images.reading import read_image
from components.inference.engine import Fitted, describe, open_model, predict_inputs
from components.inference.ensemble.members import (
    Member,
    Model,
    check_members,
    ensemble_of,
    ids_of,
    joined_classes,
    variant_of,
)
from components.inference.ensemble.settings import Hooks, PipelineSettings
from components.inference.ensemble.views import Views
from components.inference.metrics import Metrics
from components.inference.predictor import About, ImageIds, Picture, Predictor, require_one_each
from components.inference.results import Cause, Metadata, PredictionResult
from components.vision import task_kind
from components.vision.combining.ensemble import chosen
from components.vision.fit import require_picture
from components.vision.rules import filter_by


@dataclass
class _Job:
    """One image on its way through the pipeline."""

    image_id: str
    metadata: Metadata
    image: npt.NDArray[np.uint8] | None = None
    views: Sequence[View] = ()
    seen: list[Prediction] = field(default_factory=list)  # by the present model, in its views
    predictions: list[Prediction] = field(default_factory=list)
    ms: float = 0.0
    error: str = ""
    cause: Cause | None = None

    def fail(self, cause: Cause, error: str) -> None:
        self.cause, self.error = cause, error


class InferencePipeline(Predictor[PredictionResult]):
    """Predicts images with one model, or with several whose predictions it combines.

    A bad image never costs the others: its result says in `error` what is wrong with it. All
    methods may be called from several threads; an engine runs one batch at a time and has its own
    threads. Close the pipeline, or use it as a context manager.

    Class names are those of the first model, then those that others add; models are matched by
    these names, in whatever order they have them.

    Arguments:
        members: the models, all of one task.
        settings: how predictions are combined, and which are kept. Nothing is combined where an
            image has one prediction.
        hooks: functions of the caller's own.
        batch: inputs per engine call at most.
        workers: how many async calls are worked on at once; the others wait their turn.
        metrics: where to count; None makes new ones.

    Raises:
        ConfigError: there is no member, a number is below 1, there are not as many weights as
            models, or the settings ask for what the task does not have.
        IncompatibleError: the members differ in task or share no class names.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        settings: PipelineSettings | None = None,
        hooks: Hooks | None = None,
        batch: int = BATCH,
        workers: int = 2,
        metrics: Metrics | None = None,
    ) -> None:
        check_members(members)
        for name, value in (("batch", batch), ("workers", workers)):
            if value < 1:
                raise ConfigError(f"{name} of at least 1", found=str(value))
        settings = settings or PipelineSettings()
        kind = task_kind(members[0].task.spec.task)
        self.class_names = joined_classes(members)
        self.model_names = tuple(member.name for member in members)
        self.metrics = metrics or Metrics()
        self._kind, self._settings, self._hooks = kind, settings, hooks or Hooks()
        self._views = Views(settings, kind)
        self._combine = chosen(kind.combiners, settings.combine.method, "to combine predictions")
        self._keep = filter_by(settings.keep, kind.rules, self.class_names)
        ids = ids_of(members, self.class_names)
        voters = ensemble_of(members, ids, settings.combine.weights)
        self._ensemble = voters.repeated(self._views.flips)
        self._members = [
            (member, own, threading.Lock()) for member, own in zip(members, ids, strict=True)
        ]
        self._batch = batch
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="foveal-predict")
        self._unpacked = ExitStack()

    @classmethod
    def resolve(cls, model: Model) -> AbstractContextManager[Variant]:
        """Return what is run for a model, which is there for as long as the context is open.

        Raises:
            ConfigError: it is no `Variant`, artifact or path of an ONNX file. The public
                `foveal.InferencePipeline` opens registered names and bundles, too.
        """
        return nullcontext(variant_of(model))

    @classmethod
    def open(
        cls,
        *models: Model,
        settings: PipelineSettings | None = None,
        hooks: Hooks | None = None,
        device: str = "cpu",
        threads: int = 0,
        batch: int = BATCH,
    ) -> Self:
        """Open models and make a pipeline of them.

        Arguments:
            models: see `resolve`.
            settings: see the class.
            hooks: see the class.
            device: as the backends call it.
            threads: of each engine; 0 is all cores.
            batch: see the class.

        Raises:
            ConfigError: a model or a setting is none, or a number is out of range.
            ModelError: a model cannot be opened.
            UnavailableError: the backend or the device is not here.
        """
        with ExitStack() as unpacked, ExitStack() as opened:
            members = []
            for model in models:
                variant = unpacked.enter_context(cls.resolve(model))
                session, task = open_model(variant, device=device, threads=threads)
                opened.callback(session.close)
                members.append(Member(session, task, variant.name))
            pipeline = cls(members, settings=settings, hooks=hooks, batch=batch)
            opened.pop_all()
            pipeline._unpacked = unpacked.pop_all()
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
        self._unpacked.close()

    def _run(self, jobs: list[_Job], images: Sequence[Picture]) -> list[PredictionResult]:
        for job, image in zip(jobs, images, strict=True):
            _read(job, image)
            if job.image is not None:
                job.views = self._views.of(*job.image.shape[:2])
        for member, ids, lock in self._members:
            waiting = iter([(job, view) for job in jobs for view in job.views])
            while batch := list(_sound(waiting, self._batch)):
                _predict(batch, member, lock)
            for job in jobs:
                self._gather(job, ids)
        return [self._result(job) for job in jobs]

    def _gather(self, job: _Job, ids: Sequence[int]) -> None:
        """Make one prediction of each flip of what a model saw, in the pipeline's class ids."""
        if job.error or job.image is None:
            return
        started = time.perf_counter()
        found = self._views.joined(job.seen, job.views)
        if list(ids) != list(range(len(self.class_names))):
            found = [one.renumbered(ids, len(self.class_names)) for one in found]
        job.predictions += found
        job.seen = []
        job.ms += (time.perf_counter() - started) * 1e3

    def _result(self, job: _Job) -> PredictionResult:
        started = time.perf_counter()
        prediction = None
        if not job.error:
            try:
                prediction = self._postprocessed(self._keep(self._combined(job)), job)
            except Exception as error:
                # a hook may raise anything, and it is this image's fault
                job.fail(Cause.POSTPROCESSING, describe(error))
        job.ms += (time.perf_counter() - started) * 1e3
        return PredictionResult(
            job.image_id,
            prediction,
            self.class_names,
            job.ms,
            job.metadata,
            job.error,
            cause=job.cause,
            models=self.model_names,
        )

    def _combined(self, job: _Job) -> Prediction:
        if len(job.predictions) == 1:
            return job.predictions[0]
        if self._hooks.combine is not None:
            return self._hooks.combine(job.predictions, self._ensemble.weights.tolist())
        found = self._combine(job.predictions, self._ensemble, self._settings.combine)
        return cast(Prediction, found)

    def _postprocessed(self, prediction: Prediction, job: _Job) -> Prediction:
        if self._hooks.postprocess is None or job.image is None:
            return prediction
        found = self._hooks.postprocess(prediction, job.image)
        is_one = isinstance(found, self._kind.prediction)
        if not is_one:
            raise IncompatibleError(
                f"{self._kind.prediction.__name__} from postprocess", found=type(found).__name__
            )
        return found


def _name(image: Picture, position: int) -> str:
    return str(image) if isinstance(image, Path | str) else str(position)


def _read(job: _Job, image: Picture) -> None:
    started = time.perf_counter()
    try:
        picture = image if isinstance(image, np.ndarray) else read_image(image)
        require_picture(picture)
        job.image = picture
    except FovealError as error:
        job.fail(Cause.IMAGE, describe(error))
    job.ms += (time.perf_counter() - started) * 1e3


def _sound(waiting: Iterator[tuple[_Job, View]], count: int) -> Iterator[tuple[_Job, View]]:
    """Yield the next views, at most `count`, of images without a failure so far."""
    return islice(((job, view) for job, view in waiting if not job.error), count)


def _predict(batch: Sequence[tuple[_Job, View]], member: Member, lock: threading.Lock) -> None:
    """Add one model's predictions of some views to their images."""
    ready: list[tuple[_Job, Fitted]] = []
    for job, view in batch:
        started = time.perf_counter()
        try:
            if job.image is not None:
                ready.append((job, member.task.preprocess(view.cut(job.image))))
        except FovealError as error:
            job.fail(Cause.IMAGE, describe(error))
        job.ms += (time.perf_counter() - started) * 1e3
    with lock:
        outcomes = predict_inputs(member.session, member.task, [fitted for _, fitted in ready])
    for (job, _), outcome in zip(ready, outcomes, strict=True):
        job.ms += outcome.inference_ms + outcome.postprocess_ms
        if outcome.prediction is not None:
            job.seen.append(outcome.prediction)
        elif outcome.error is not None:
            job.fail(Cause.MODEL, f"{member.name}: {describe(outcome.error)}")
