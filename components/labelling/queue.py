"""Choice of images worth a person's time: drifted ones that differ and leave the model unsure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.contracts import DriftState, InferenceRun
from components.contracts.arrays import Floats
from components.datasets.labels import Label, QueuedImage
from components.errors import DatasetError
from components.monitoring.drift.embeddings import projected
from components.monitoring.drift.pairs import aligned
from components.monitoring.drift.policy import compare_tables
from components.monitoring.drift.tables import DriftTable, read_reference, window_of
from components.monitoring.report.pictures import drift_scores, standardised
from components.monitoring.store.windows import WINDOW

if TYPE_CHECKING:
    import pyarrow as pa


_FIELDS = ("image_id", "uri", "sha256", "width", "height", "model")
# uncertainty of an image without detections: that of one at a threshold of 0.25
_NOTHING_SEEN = 0.75
_SAME = 0.02  # of the usual distance between two images; nearer ones are copies of one scene
_PAIRS = 2000  # that the usual distance is learnt from


def rank_for_labels(
    images: pa.Table,
    detections: pa.Table,
    reference: Path,
    *,
    size: int,
    known: Collection[str] = (),
) -> tuple[QueuedImage, ...]:
    """Order a model's images by what a label of each would teach: drift × uncertainty × diversity.

    Drift is the probability that an image is of the window and not of the reference, by a
    classifier that tells equally many of both apart in the columns that moved (in all of them where
    none did). Uncertainty is 1 − margin of a classifier and 1 − mean confidence of a detector's
    detections. Diversity is the distance to the nearest image that was chosen before, greedily
    (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985; as core sets for
    labelling: Sener and Savarese, ICLR 2018); copies of one scene are left out.

    Arguments:
        images: rows of one model's images, from the monitoring store.
        detections: the rows of detections on them.
        reference: what `build_reference` wrote.
        size: how many images, at most.
        known: sha256 of images that are queued or labelled already: others are to differ from them
            too.

    Returns:
        The best first.

    Raises:
        DatasetError: `reference` is no reference, or no image has a prediction.
        IncompatibleError: rows and reference were not made by the same model, recipe and columns.
    """
    import pyarrow as pa

    rows = _unique(images)
    if not len(rows):
        raise DatasetError(
            "images with a prediction", found="none", hint="run nightly monitoring over some first"
        )
    before, after = _tables(rows, reference)
    drift, uncertainty = _drift(before, after), _uncertainty(after)
    taken = np.array([sha256 in known for sha256 in rows["sha256"].to_pylist()], np.bool_)
    chosen, gaps = _spread_out(drift * uncertainty, *_features(before, after), taken, size)
    values = rows.take(pa.array(chosen, pa.int64())).select([*_FIELDS, WINDOW]).to_pylist()
    seen = _prelabels(detections, values)
    return tuple(
        QueuedImage(
            row["image_id"], row["uri"], row["sha256"], round(row["width"]), round(row["height"]),
            str(row[WINDOW]), row["model"], float(drift[place]), float(uncertainty[place]),
            float(drift[place] * uncertainty[place] * gap),
            seen.get((row["image_id"], str(row[WINDOW])), ()),
        )
        for row, place, gap in zip(values, chosen, gaps, strict=True)
    )  # fmt: skip


def rank_run_for_labels(
    run: InferenceRun, reference: Path, *, size: int
) -> tuple[QueuedImage, ...]:
    """Order a finished run's images by what a label of each would teach; see `rank_for_labels`.

    Arguments:
        run: the images, whether a store keeps them or not.
        reference: what `build_reference` wrote.
        size: how many images, at most.

    Raises:
        DatasetError: `reference` is no reference, or no image has a prediction.
        IncompatibleError: rows and reference were not made by the same model, recipe and columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    images, detections = (
        table.append_column(WINDOW, pa.array([run.folder.name] * len(table), pa.string()))
        for table in (pq.read_table(run.images), pq.read_table(run.detections))
    )
    return rank_for_labels(images, detections, reference, size=size)


def _unique(images: pa.Table) -> pa.Table:
    """The rows with a prediction, the latest of each image."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = images.filter(pc.equal(images["status"], "ok"))
    latest = {sha256: place for place, sha256 in enumerate(rows["sha256"].to_pylist())}
    return rows.take(pa.array(sorted(latest.values()), pa.int64()))


def _tables(rows: pa.Table, reference: Path) -> tuple[DriftTable, DriftTable]:
    import pyarrow.compute as pc

    before = read_reference(reference)
    missing = [name for name in before.columns if name not in rows.column_names]
    if missing:
        raise DatasetError(
            f"the reference's columns in the store: {', '.join(missing)}", found="none of them"
        )
    recipes = pc.unique(rows["statistics_recipe"]).to_pylist()
    models = pc.unique(rows["model"]).to_pylist()
    window = window_of(rows.select([*before.columns]), models[-1], recipes[-1])
    return aligned(before, window)


def _drift(reference: DriftTable, window: DriftTable) -> Floats:
    """Return how probable it is, in 0–1, that each image is not one of the reference."""
    # in no order
    before, after = (
        replace(table, batches=np.arange(table.samples)) for table in (reference, window)
    )
    decision = compare_tables(before, after)
    moved = [column.column for column in decision.columns if column.drifted]
    if decision.state is DriftState.INSUFFICIENT_DATA or not moved:
        moved = list(reference.columns)
    odds = drift_scores(reference, window, moved)[1]
    return np.asarray(1 / (1 + np.exp(-odds.clip(-50, 50))))


def _uncertainty(window: DriftTable) -> Floats:
    """Return how close the model was to another answer, in 0–1."""
    for column in ("prediction_margin", "prediction_confidence_mean"):
        if column in window.columns:
            doubt = 1 - window.columns[column]
            return np.asarray(np.where(np.isfinite(doubt), doubt, _NOTHING_SEEN).clip(0, 1))
    return np.ones(window.samples)


def _features(reference: DriftTable, window: DriftTable) -> tuple[Floats, float]:
    """Return images' features on one scale, (n, k), and the reference's usual image distance."""
    m, parts = reference.samples, []
    for name, after in window.columns.items():
        before = reference.columns[name]
        if window.is_vector(name):
            parts.append(np.concatenate([projected(before, before), projected(before, after)]))
        elif not window.is_category(name):
            values = np.concatenate([before, after])
            middle = np.nanmedian(before) if np.isfinite(before).any() else 0.0
            parts.append(np.where(np.isfinite(values), values, middle)[:, None])
    both = np.concatenate(parts, axis=1)
    scaled = standardised(both)
    one, other = np.random.default_rng(0).integers(0, m, (2, _PAIRS))
    usual = float(np.median(np.linalg.norm(scaled[one] - scaled[other], axis=1)))
    return scaled[m:], max(usual, 1e-9)


def _spread_out(
    scores: Floats, features: Floats, usual: float, taken: npt.NDArray[np.bool_], size: int
) -> tuple[list[int], list[float]]:
    """Take one by one the image with the largest score × distance to those taken before.

    Returns the rows and these distances.

    A distance is a share of the usual one between two images, and 1 at most: being an outlier is no
    merit.
    """
    gaps = np.ones(len(scores))
    for row in np.flatnonzero(taken).tolist():
        gaps = np.minimum(gaps, np.linalg.norm(features - features[row], axis=1) / usual)
    gaps[taken] = 0
    chosen: list[int] = []
    at: list[float] = []
    while len(chosen) < size:
        worth = np.where(gaps > _SAME, (scores + 1e-9) * gaps, 0)
        best = int(worth.argmax())
        if not worth[best]:
            break
        chosen.append(best)
        at.append(float(gaps[best]))
        gaps = np.minimum(gaps, np.linalg.norm(features - features[best], axis=1) / usual)
        gaps[best] = 0
    return chosen, at


def _prelabels(
    detections: pa.Table, rows: list[dict[str, Any]]
) -> dict[tuple[str, str], tuple[Label, ...]]:
    """Return the predictions by image and window: all detections, or the most probable class."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = {(row["image_id"], str(row[WINDOW])): (row["width"], row["height"]) for row in rows}
    wanted = pa.array([row["image_id"] for row in rows], pa.string())
    table = detections.filter(pc.is_in(detections["image_id"], value_set=wanted))
    columns = ["image_id", WINDOW, "detection", "class_name", "confidence", "x1", "y1", "x2", "y2"]
    found: dict[tuple[str, str], tuple[Label, ...]] = {}
    for row in table.select(columns).to_pylist():
        key = (row["image_id"], str(row[WINDOW]))
        if key not in sizes or (row["x1"] is None and row["detection"]):
            continue  # of another window; or a class that is not the most probable
        width, height = sizes[key]
        box = None
        if row["x1"] is not None:
            box = (row["x1"] / width, row["y1"] / height, row["x2"] / width, row["y2"] / height)
        found[key] = (*found.get(key, ()), Label(row["class_name"], box, row["confidence"]))
    return found
