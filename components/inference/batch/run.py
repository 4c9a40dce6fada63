"""Batch inference over any number of images: bounded memory, and a row for every image.

A run that was killed is picked up.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from components.contracts import InferenceRun, Variant
from components.errors import OutageError
from components.files import replacing
from components.images.lists.image_table import own_columns
from components.images.sources import ImageSource
from components.images.statistics import STATISTICS_RECIPE
from components.inference.batch.planning import LAYOUT, check_ids, run_key
from components.inference.batch.settings import BatchSettings
from components.inference.batch.shard_worker import Progress, engine_fault, provenance_of
from components.inference.batch.shards import Shard, ShardRecord, WorkFolder, plan_shards, work_root
from components.inference.batch.spread import ShardJob
from components.inference.batch.tables import table_schemas
from components.inference.lock import exclusive
from components.runs.finished import check_replaceable, finished_run, write_run
from components.vision import task_for


def run_batch(
    sources: Sequence[ImageSource],
    model: Variant,
    output: Path,
    *,
    settings: BatchSettings | None = None,
    progress: Progress | None = None,
    resumed: Progress | None = None,
) -> InferenceRun:
    """Run a model over images and write a table of images, one of detections and `run.json`.

    A table is a Parquet file, or a folder of parts where `BatchSettings.in_parts` says so.

    Rows are in the order of the sources. An image that cannot be read, or that the engine fails on,
    is a row with status ``"error"`` and its other columns null where they are not known.

    A run is cut into shards. One that is killed leaves its finished shards in a hidden folder
    beside `output`, and the same call made again does only the others; `output` appears once all
    are done. Where `output` already holds the finished run of the same images and settings, that is
    returned as it is, failures included: remove the folder to have it made again. "The same" is
    decided by the artifact's hash, the settings that shape results, and each image's `fingerprint`.

    Arguments:
        sources: the images, as `components.images.sources.list_images` names them, or
            `components.images.lists.image_table.list_with_columns`, whose own columns become the
            last ones of `images.parquet`.
        model: the file on its backend with its thresholds, and its name and version for the tables,
            e.g. ``"digits/3"``.
        output: folder to write; it may not exist, be empty or hold an earlier run.
        settings: how the work is done.
        progress: called in this thread as ``progress(done, total)``, in images.
        resumed: called once as ``resumed(done, total)``, in images, where a run that was killed is
            picked up.

    Raises:
        OutageError: a host does not answer, or with `keep_going` none does.
        ConfigError: a number is out of range, `output` holds other things, or another run is
            writing to it.
        DatasetError: two sources have one image id, or a column of a list is named like one of the
            results.
        ModelError: the engine is at fault, not an image: it fails on everything it is given.
    """
    settings = settings or BatchSettings()
    check_ids(sources)
    task = task_for(model.artifact.spec, confidence=model.confidence, iou=model.iou)
    shaping = {
        **provenance_of(model), "device": settings.device, "confidence": model.confidence,
        "iou": model.iou, "statistics_recipe": STATISTICS_RECIPE, "layout": LAYOUT,
    }  # fmt: skip
    schemas = table_schemas(task, own_columns(sources))
    key = run_key(shaping, model.artifact.spec, sources)
    output = Path(output).resolve()
    with exclusive(output), _disk_named(output):
        finished, parts = finished_run(output, key), settings.in_parts(len(sources))
        if finished and not finished.unreachable and settings.parts in (None, finished.parts > 0):
            # of a run that was killed while it cleaned up
            shutil.rmtree(work_root(output), ignore_errors=True)
            return finished
        check_replaceable(output)
        work = WorkFolder(output, key, schemas)
        shards = plan_shards(len(sources), settings.shard_size(len(sources)))
        if todo := [shard for shard in shards if not work.holds(shard)]:
            job = ShardJob(sources, model, replace(settings, spread=None), output, key)
            if resumed and len(todo) < len(shards):
                resumed(len(sources) - sum(map(len, todo)), len(sources))
            if settings.spread is None:
                job.finish(todo, progress)
            else:
                work.prepare()
                job.hand_out(todo, settings.spread, progress)
        return _publish(
            work,
            shards,
            InferenceRun(
                output, model.name, 0, (), 0.0, STATISTICS_RECIPE, parts=len(shards) if parts else 0
            ),
            key,
            shaping,
        )


@contextmanager
def _disk_named(output: Path) -> Iterator[None]:
    """Name the output in what a full disk raises, where the library that wrote to it does not."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
            raise OSError(error.errno, os.strerror(error.errno), str(output)) from error
        raise


def _publish(
    work: WorkFolder,
    shards: Sequence[Shard],
    run: InferenceRun,
    key: str,
    settings: Mapping[str, object],
) -> InferenceRun:
    """Put the finished run in place and remove the work folder."""
    started = time.perf_counter()
    records = [work.record(shard) for shard in shards]
    _check_engine(work, records)
    unreachable = sum((Counter(dict(record.unreachable)) for record in records), Counter[str]())
    _check_places(work, records, unreachable)
    merged = work.link(shards) if run.parts else work.merge(shards)
    run = replace(
        run,
        processed=sum(record.processed for record in records),
        failures=tuple(failure for record in records for failure in record.failures),
        seconds=sum(record.seconds for record in records) + time.perf_counter() - started,
        unreachable=tuple(unreachable.items()),
    )
    write_run(merged, run, key, settings)
    with replacing(run.folder) as aside:
        os.replace(merged, aside)
    work.remove()
    return run


def _check_engine(work: WorkFolder, records: Sequence[ShardRecord]) -> None:
    errors = sorted({error for record in records for error in record.engine_errors})
    if len(errors) == 1 and not any(record.processed for record in records):
        work.remove()
        raise engine_fault(errors[0], sum(len(record.failures) for record in records))


def _check_places(
    work: WorkFolder, records: Sequence[ShardRecord], unreachable: Mapping[str, int]
) -> None:
    """Refuse a run in which no place answered, so that its images are not written off."""
    if unreachable and sum(unreachable.values()) == sum(
        record.processed + len(record.failures) for record in records
    ):
        work.remove()
        raise OutageError(
            "an answer of a place that images are on",
            found=f"none of {', '.join(unreachable)}",
            hint="bring it back, then run the same command again",
        )
