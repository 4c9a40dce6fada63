"""Worker that takes the shards of a batch run through the engine, one batch after the other."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice

import numpy as np

from components.backends import Session
from components.contracts import FailedImage, Variant
from components.errors import ModelError
from components.images.places import Places
from components.images.sources import ImageSource
from components.inference.batch.settings import BatchSettings
from components.inference.batch.shards import Shard, ShardRecord, WorkFolder
from components.inference.batch.tables import Row, detection_rows, image_rows
from components.inference.engine import Outcome, describe, predict_inputs
from components.inference.prepare import Prepared, ahead, prepare
from components.printing import counted
from components.runs.finished import DETECTIONS, IMAGES
from components.vision import VisionTask

Progress = Callable[[int, int], None]

MAX_DECODE_THREADS = 8  # beyond, they take more from the engine than they give


def engine_fault(error: str, failed: int) -> ModelError:
    """Return the error to raise when the engine, and not the images, is at fault."""
    return ModelError(
        "a model that the backend can run",
        found=f"{failed} of {counted(failed, 'image')} failing: {error}",
        hint="try another backend, or make the model file again",
    )


def provenance_of(model: Variant) -> dict[str, str]:
    """Return the columns that are the same in all rows of a run."""
    return {"model": model.name, "artifact_sha256": model.artifact.sha256, "backend": model.backend}


class ShardWorker:
    """Finishes shards: reads and fits images on its own threads while the engine works in this one.

    Arguments:
        session: the open model.
        task: what its inputs and outputs mean.
        work: where finished shards are kept.
        model: what was opened.
        places: which hosts and mounts answer.
        settings: how the work is done.
    """

    def __init__(
        self,
        session: Session,
        task: VisionTask,
        work: WorkFolder,
        *,
        model: Variant,
        places: Places,
        settings: BatchSettings,
    ) -> None:
        self._session, self._task, self._work, self._places = session, task, work, places
        self._provenance, self._batch, self._embedding = (
            provenance_of(model),
            settings.batch,
            model.artifact.embedding,
        )
        self._decode_threads = settings.decode_threads or min(
            os.cpu_count() or 1, MAX_DECODE_THREADS
        )
        self._probe = task.preprocess(np.full((*task.spec.input_size, 3), 114, np.uint8))

    def finish(
        self, sources: Sequence[ImageSource], todo: Sequence[Shard], progress: Progress | None
    ) -> None:
        """Do shards, in order, and keep each when it is finished.

        Arguments:
            sources: all images of the run.
            todo: the shards that are not finished yet.
            progress: called as ``progress(done, total)``, in images of the whole run.

        Raises:
            ModelError: the engine fails on everything it is given; shards that were finished before
                stay.
        """
        done = len(sources) - sum(map(len, todo))
        images = (source for shard in todo for source in sources[shard.start : shard.stop])
        read = partial(prepare, task=self._task, places=self._places)
        prepared = ahead(read, images, threads=self._decode_threads, limit=2 * self._batch)
        clock = time.perf_counter()
        with closing(prepared):
            for shard in todo:
                rows: dict[str, list[Row]] = {IMAGES: [], DETECTIONS: []}
                errors: dict[str, None] = {}  # a set that keeps its order
                unreachable: Counter[str] = Counter()
                for chunk in self._chunks(prepared, len(shard)):
                    errors |= dict.fromkeys(self._predict(chunk, rows))
                    unreachable.update(image.unreachable for image in chunk if image.unreachable)
                    done += len(chunk)
                    if progress:
                        progress(done, len(sources))
                clock, since = time.perf_counter(), clock
                self._keep(shard, rows, tuple(errors), unreachable, clock - since)

    def _chunks(self, prepared: Iterator[Prepared], count: int) -> Iterator[list[Prepared]]:
        """Yield batches that do not cross the shard's end.

        What an image is batched with stays the same after a kill.
        """
        shard = islice(prepared, count)
        while chunk := list(islice(shard, self._batch)):
            yield chunk

    def _predict(self, chunk: Sequence[Prepared], rows: dict[str, list[Row]]) -> list[str]:
        """Add a batch's rows; return what the engine complained about."""
        ready = [image.fitted for image in chunk if image.fitted is not None]
        found = predict_inputs(self._session, self._task, ready, embedding=self._embedding)
        remaining = iter(found)
        outcomes: list[Outcome | None] = [
            None if image.fitted is None else next(remaining) for image in chunk
        ]
        rows[IMAGES] += image_rows(chunk, outcomes, self._task, self._provenance)
        for image, outcome in zip(chunk, outcomes, strict=True):
            if outcome is not None and outcome.prediction is not None:
                rows[DETECTIONS] += detection_rows(
                    image.source.image_id, outcome.prediction, self._task.spec.class_names
                )
                self._probe = image.fitted or self._probe
        return [describe(outcome.error) for outcome in found if outcome.error is not None]

    def _keep(
        self,
        shard: Shard,
        rows: dict[str, list[Row]],
        errors: tuple[str, ...],
        unreachable: Mapping[str, int],
        seconds: float,
    ) -> None:
        failures = tuple(
            FailedImage(row["image_id"], row["error"])
            for row in rows[IMAGES]
            if row["status"] == "error"
        )
        processed = len(shard) - len(failures)
        if errors and not processed:
            self._check_engine(errors, len(failures))
        self._work.write(
            shard,
            rows,
            ShardRecord(processed, failures, errors, seconds, tuple(unreachable.items())),
        )

    def _check_engine(self, errors: tuple[str, ...], failed: int) -> None:
        """Check after a failed shard that the engine still runs its last input, or a grey image.

        It tells an engine that is broken, or broke on the way, from images that are, before
        thousands of images are written off.
        """
        outcome = predict_inputs(self._session, self._task, [self._probe])[0]
        if outcome.error is not None and describe(outcome.error) in errors:
            raise engine_fault(describe(outcome.error), failed) from outcome.error
