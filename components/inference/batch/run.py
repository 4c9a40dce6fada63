"""Batch inference over any number of images: bounded memory, a row for every image, and a killed run is picked up."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from components.contracts import BATCH, InferenceRun, ModelArtifact
from components.errors import ConfigError, DatasetError, OutageError
from components.files import replacing, sha256_json
from components.images.sources import ImageSource, fingerprint
from components.images.statistics import STATISTICS_RECIPE
from components.inference.batch.shard_worker import Progress, engine_fault
from components.inference.batch.shards import Shard, ShardRecord, WorkFolder, plan_shards, work_root
from components.inference.batch.spread import ShardJob, Spread
from components.inference.batch.tables import table_schemas
from components.inference.lock import exclusive
from components.runs import check_replaceable, finished_run, write_run
from components.vision import task_for

LAYOUT = 2  # raise when the tables' columns or their meaning change: earlier results are then made anew


def run_batch(
    sources: Sequence[ImageSource],
    *,
    artifact: ModelArtifact,
    backend: str,
    model: str,
    output: Path,
    device: str = "cpu",
    threads: int = 0,
    batch: int = BATCH,
    decode_threads: int | None = None,
    confidence: float = 0.25,
    iou: float = 0.7,
    progress: Progress | None = None,
    shard_images: int = 256,
    spread: Spread | None = None,
    keep_going: bool = False,
    resumed: Progress | None = None,
) -> InferenceRun:
    """Run a model over images and write `images.parquet`, `detections.parquet` and `run.json`.

    Rows are in the order of the sources. An image that cannot be read, or that the engine fails on, is
    a row with status ``"error"`` and its other columns null where they are not known.

    A run is cut into shards. One that is killed leaves its finished shards in a hidden folder beside
    `output`, and the same call made again does only the others; `output` appears once all are done.
    Where `output` already holds the finished run of the same images and settings, that is returned as it
    is, failures included: remove the folder to have it made again. "The same" is decided by the
    artifact's hash, the settings that shape results, and each image's `fingerprint`.

    Arguments:
        sources: the images, as `components.images.sources.list_images` names them.
        artifact: the model.
        backend: name of what runs it.
        model: name and version for the tables, e.g. ``"digits/3"``.
        output: folder to write; it may not exist, be empty or hold an earlier run.
        device: as the backend calls it.
        threads: of the engine; 0 is all cores.
        batch: images per engine call.
        decode_threads: threads that read and fit images while the engine works; None is one per core, at most 8.
        confidence: smallest score of a detection.
        iou: overlap above which the weaker of two detections of a class is dropped.
        progress: called in this thread as ``progress(done, total)``, in images.
        shard_images: images per shard: what a killed run may lose.
        spread: has the shards done elsewhere, by processes that see the same files; None does them here.
        keep_going: a host that does not answer costs its own images, as long as others do; see
            `components.images.places`. Such a run is made again when it is asked for again.
        resumed: called once as ``resumed(done, total)``, in images, where a run that was killed is picked up.

    Raises:
        OutageError: a host does not answer, or with `keep_going` none does.
        ConfigError: a number is out of range, `output` holds other things, or another run is writing to it.
        DatasetError: two sources have one image id.
        ModelError: the engine is at fault, not an image: it fails on everything it is given.
    """
    _check_positive(batch=batch, shard_images=shard_images, decode_threads=decode_threads)
    _check_ids(sources)
    task = task_for(artifact.spec, confidence=confidence, iou=iou)
    provenance = {"model": model, "artifact_sha256": artifact.sha256, "backend": backend}
    settings = {
        **provenance, "device": device, "confidence": confidence, "iou": iou,
        "statistics_recipe": STATISTICS_RECIPE, "layout": LAYOUT,
    }  # fmt: skip
    key = sha256_json([settings, asdict(artifact.spec), [fingerprint(source) for source in sources]])
    output = Path(output).resolve()
    with exclusive(output), _disk_named(output):
        if (finished := finished_run(output, key)) and not finished.unreachable:
            shutil.rmtree(work_root(output), ignore_errors=True)  # of a run that was killed while it cleaned up
            return finished
        check_replaceable(output)
        work = WorkFolder(output, key, table_schemas(task))
        shards = plan_shards(len(sources), shard_images)
        if todo := [shard for shard in shards if not work.holds(shard)]:
            job = ShardJob(
                tuple(sources), artifact, backend, device, threads, confidence, iou,
                provenance, output, key, batch, decode_threads, keep_going,
            )  # fmt: skip
            if resumed and len(todo) < len(shards):
                resumed(len(sources) - sum(map(len, todo)), len(sources))
            if spread is None:
                job.finish(todo, progress)
            else:
                work.prepare()
                job.hand_out(todo, spread, progress)
        return _publish(work, shards, InferenceRun(output, model, 0, (), 0.0, STATISTICS_RECIPE), key, settings)


@contextmanager
def _disk_named(output: Path) -> Iterator[None]:
    """Name the output in what a full disk raises, where the library that wrote to it does not."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
            raise OSError(error.errno, os.strerror(error.errno), str(output)) from error
        raise


def _check_positive(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} of at least 1", found=str(value))


def _check_ids(sources: Sequence[ImageSource]) -> None:
    seen: dict[str, str] = {}
    for source in sources:
        if source.image_id in seen:
            raise DatasetError(
                "a different image_id for every image",
                found=f"{source.image_id!r} for both {seen[source.image_id]} and {source.uri}",
            )
        seen[source.image_id] = source.uri


def _publish(
    work: WorkFolder, shards: Sequence[Shard], run: InferenceRun, key: str, settings: Mapping[str, Any]
) -> InferenceRun:
    """Put the finished run in place and remove the work folder."""
    started = time.perf_counter()
    records = [work.record(shard) for shard in shards]
    _check_engine(work, records)
    unreachable = sum((Counter(dict(record.unreachable)) for record in records), Counter[str]())
    _check_places(work, records, unreachable)
    merged = work.merge(shards)
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


def _check_places(work: WorkFolder, records: Sequence[ShardRecord], unreachable: Mapping[str, int]) -> None:
    """A run in which no place answered is none: its images are not written off."""
    if unreachable and sum(unreachable.values()) == sum(record.processed + len(record.failures) for record in records):
        work.remove()
        raise OutageError(
            "an answer of a place that images are on",
            found=f"none of {', '.join(unreachable)}",
            hint="bring it back, then run the same command again",
        )
