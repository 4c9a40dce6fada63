"""Data quality of a window's table: gaps, duplicates, blank frames, sizes, and failure reasons."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from components.contracts import FailedImage, InferenceRun
from components.images.statistics import IMAGE_COLUMNS
from components.monitoring.drift.faults import BLANK_CONTRAST
from components.monitoring.drift.tables import PIECE, is_prediction, opened_run

if TYPE_CHECKING:
    import pyarrow as pa

TIME, HASH, LATENCY = "predicted_at", "sha256", "inference_ms"
_NAMED = 3  # images of a group of errors
_DIGITS = 16  # of a hash; half of it tells a billion images apart


@dataclass(frozen=True)
class Quality:
    """Data quality of all rows of a table.

    Arguments:
        rows: images that inference was asked for.
        failed: those without a prediction.
        missing: column → images with a prediction that have no value in it; only columns with such
            images.
        duplicates: files that are byte for byte the same as an earlier one; None where files were
            not hashed.
        sizes: ``"640 × 480"`` → images, the most frequent first.
        blank: images of one colour.
        first, last: when the first and the last one was predicted; None where that is not known.
        latency_ms: median and 95th percentile of an image's share of the engine's time; None where
            it was not measured.
    """

    rows: int
    failed: int
    missing: Mapping[str, int]
    duplicates: int | None
    sizes: Mapping[str, int]
    blank: int
    first: datetime | None
    last: datetime | None
    latency_ms: tuple[float, float] | None = None


@dataclass(frozen=True)
class ErrorGroup:
    """Images that failed for one reason, and a few of their names."""

    message: str
    count: int
    names: tuple[str, ...]


def read_quality(run: InferenceRun) -> Quality:
    """Look through a run's table of images piece by piece.

    Raises:
        DatasetError: the run has no readable table.
    """
    import pyarrow.compute as pc

    missing: Counter[str] = Counter()
    sizes: Counter[complex] = Counter()
    hashes: list[pa.Array] = []
    times: list[datetime] = []
    latencies: list[npt.NDArray[np.float64]] = []
    blank = accepted = 0
    with opened_run(run.images) as file:
        present = file.schema_arrow.names
        described = [name for name in present if name in IMAGE_COLUMNS or is_prediction(name)]
        extra = [name for name in (TIME, HASH, LATENCY) if name in present]
        for part in file.iter_batches(columns=["status", *described, *extra], batch_size=PIECE):
            rows = part.filter(pc.equal(part["status"], "ok"))
            accepted += len(rows)
            missing.update({name: _gaps(rows[name]) for name in described})
            blank += pc.sum(pc.less(rows["contrast"], BLANK_CONTRAST)).as_py() or 0
            sizes.update(_sizes(rows))
            if HASH in extra:
                hashes.append(pc.utf8_slice_codeunits(part[HASH], 0, _DIGITS).drop_null())
            if LATENCY in extra:
                latencies.append(rows[LATENCY].drop_null().to_numpy())
            if TIME in extra and len(part):
                times += [
                    time for time in pc.min_max(part[TIME]).as_py().values() if time is not None
                ]
        total = file.num_rows
    named = {f"{size.real:,.0f} × {size.imag:,.0f}": count for size, count in sizes.most_common()}
    return Quality(
        total,
        total - accepted,
        {name: count for name, count in missing.items() if count},
        _duplicates(hashes),
        named,
        blank,
        min(times, default=None),
        max(times, default=None),
        _latency(latencies),
    )


def group_errors(failures: Sequence[FailedImage]) -> tuple[ErrorGroup, ...]:
    """Group the reasons why images failed, the most frequent first, without an image's own path."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for failure in failures:
        path = r"\S*" + re.escape(failure.image_id)
        groups[re.sub(path, "…", failure.error)].append(failure.image_id)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    return tuple(
        ErrorGroup(message, len(names), tuple(names[:_NAMED])) for message, names in ranked
    )


def _latency(parts: Sequence[npt.NDArray[np.float64]]) -> tuple[float, float] | None:
    found = np.concatenate(parts) if parts else np.empty(0)
    if not len(found):
        return None
    median, high = np.quantile(found, (0.5, 0.95)).tolist()
    return median, high


def _gaps(column: pa.Array) -> int:
    """Values that are null or NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(column.type):
        return len(column)
    empty = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
    return int(pc.sum(empty).as_py() or 0)


def _sizes(rows: pa.RecordBatch) -> Counter[complex]:
    """Width and height in px as one complex number each, which NumPy can sort and count."""
    width, height = (
        np.asarray(rows[name].to_numpy(zero_copy_only=False), np.float64)
        for name in ("width", "height")
    )
    sizes, counts = np.unique(width + 1j * height, return_counts=True)
    return Counter(dict(zip(sizes.tolist(), counts.tolist(), strict=True)))


def _duplicates(hashes: Sequence[pa.Array]) -> int | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.chunked_array(hashes, pa.string()) if hashes else []
    return len(known) - int(pc.count_distinct(known).as_py()) if len(known) else None
