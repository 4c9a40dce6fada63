"""Worker that takes the shards of a batch run through the engine, one batch after the other."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from components.backends import Session
from components.contracts import FailedImage, Variant
from components.errors import ModelError
from components.images.lists.image_table import own_columns
from components.images.places import Places
from components.images.sources import ImageSource
from components.inference.batch.settings import BatchSettings
from components.inference.batch.shards import Shard, ShardRecord, WorkFolder
from components.inference.batch.tables import (
    Schemas,
    TableBuilder,
    detection_rows,
    image_rows,
    table_schemas,
)
from components.inference.engine import Outcome, describe, predict_inputs
from components.inference.prepare import Prepared, ahead, prepare
from components.printing import counted
from components.runs.finished import DETECTIONS, IMAGES
from components.vision import VisionTask

if TYPE_CHECKING:
    import pyarrow as pa

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


class _Found:
    """Results of the shard that is being done."""

    def __init__(self, schemas: Schemas) -> None:
        self.tables = {name: TableBuilder(schema) for name, schema in schemas.items()}
        self.failures: list[FailedImage] = []
        self.errors: dict[str, None] = {}  # a set that keeps its order
        self.unreachable: Counter[str] = Counter()


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
        self._inputs = settings.input_cache(task)
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
        done, own = len(sources) - sum(map(len, todo)), own_columns(sources)
        images = (source for shard in todo for source in sources[shard.start : shard.stop])
        read = partial(prepare, task=self._task, places=self._places, inputs=self._inputs)
        prepared = ahead(read, images, threads=self._decode_threads, limit=2 * self._batch)
        clock = time.perf_counter()
        with closing(prepared):
            for shard in todo:
                found = _Found(table_schemas(self._task))
                for chunk in self._chunks(prepared, len(shard)):
                    self._predict(chunk, found)
                    done += len(chunk)
                    if progress:
                        progress(done, len(sources))
                clock, since = time.perf_counter(), clock
                mine = own.slice(shard.start, len(shard)) if own is not None else None
                self._keep(shard, found, mine, clock - since)

    def _chunks(self, prepared: Iterator[Prepared], count: int) -> Iterator[list[Prepared]]:
        """Yield batches that do not cross the shard's end.

        What an image is batched with stays the same after a kill.
        """
        shard = islice(prepared, count)
        while chunk := list(islice(shard, self._batch)):
            yield chunk

    def _predict(self, chunk: Sequence[Prepared], found: _Found) -> None:
        """Add a batch's rows, failures and what the engine complained about."""
        ready = [image.fitted for image in chunk if image.fitted is not None]
        results = predict_inputs(self._session, self._task, ready, embedding=self._embedding)
        remaining = iter(results)
        outcomes: list[Outcome | None] = [
            None if image.fitted is None else next(remaining) for image in chunk
        ]
        rows = image_rows(chunk, outcomes, self._task, self._provenance)
        found.tables[IMAGES].add(rows)
        found.failures += [
            FailedImage(row["image_id"], row["error"]) for row in rows if row["status"] == "error"
        ]
        for image, outcome in zip(chunk, outcomes, strict=True):
            if outcome is not None and outcome.prediction is not None:
                found.tables[DETECTIONS].add(
                    detection_rows(
                        image.source.image_id, outcome.prediction, self._task.spec.class_names
                    )
                )
                self._probe = image.fitted or self._probe
        errors = (describe(outcome.error) for outcome in results if outcome.error is not None)
        found.errors |= dict.fromkeys(errors)
        found.unreachable.update(image.unreachable for image in chunk if image.unreachable)

    def _keep(self, shard: Shard, found: _Found, own: pa.Table | None, seconds: float) -> None:
        errors, failures = tuple(found.errors), tuple(found.failures)
        processed = len(shard) - len(failures)
        if errors and not processed:
            self._check_engine(errors, len(failures))
        tables = {
            name: builder.table(own if name == IMAGES else None)
            for name, builder in found.tables.items()
        }
        self._work.write(
            shard,
            tables,
            ShardRecord(processed, failures, errors, seconds, tuple(found.unreachable.items())),
        )

    def _check_engine(self, errors: tuple[str, ...], failed: int) -> None:
        """Check after a failed shard that the engine still runs its last input, or a grey image.

        It tells an engine that is broken, or broke on the way, from images that are, before
        thousands of images are written off.
        """
        outcome = predict_inputs(self._session, self._task, [self._probe])[0]
        if outcome.error is not None and describe(outcome.error) in errors:
            raise engine_fault(describe(outcome.error), failed) from outcome.error
