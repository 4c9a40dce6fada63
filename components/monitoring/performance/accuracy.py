"""Accuracy of stored predictions, measured once labels arrive, however late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from components.contracts import Detections, Prediction, VisionSpec
from components.datasets.classes import in_classes_of
from components.datasets.dataset import LabelledDataset
from components.datasets.matching import find_matches
from components.errors import ConfigError, DatasetError, IncompatibleError
from components.printing import counted
from components.runs.by_day import TIME
from components.runs.parts import read_schema
from components.vision import task_kind
from components.vision.scores import Sampling, Score

if TYPE_CHECKING:
    import pyarrow as pa

MEASURED = "labels"
_MAX_CATEGORIES = 20

Truths = Mapping[str, Prediction] | LabelledDataset


@dataclass(frozen=True)
class AccuracyReport:
    """Accuracy of one window of stored predictions.

    A detector's predictions are stored above its production confidence, which cuts the
    precision-recall curve off: its mAP is lower than that of `Detect.evaluation_settings`. Compare
    it with the reference's, measured from stored predictions too.

    Arguments:
        metric: the one that decides, a key of `scores`: ``"top1"`` or ``"map50_95"``.
        scores: over all matched images, by metric.
        classes: by class name; a classifier's top-1 among the images of the class, a detector's
            average precision.
        slices: slice name → `metric` of its images, e.g. ``"brightness ≤ 83.1"``.
        matched: images with a prediction and a label.
        unmatched: ids of labels without a stored prediction, sorted.
        failed: labelled images that inference failed on; they are not in the scores.
        unlabelled: images with a prediction that no label came for.
        method: how it was found; ``"labels"`` when it was measured.
        estimated: no label was seen: the scores are an estimate.
        ambiguous: ids of labels that fit several images, or one that another label fits too,
            sorted; they are not in the scores.
        span: when the first and the last of the matched images were predicted, in UTC, where the
            table knows.
    """

    metric: str
    scores: Mapping[str, Score]
    classes: Mapping[str, Score]
    slices: Mapping[str, Score]
    matched: int
    unmatched: tuple[str, ...]
    failed: int
    unlabelled: int
    method: str = MEASURED
    estimated: bool = False
    ambiguous: tuple[str, ...] = ()
    span: tuple[datetime, datetime] | None = None

    @property
    def score(self) -> Score:
        """The score that decides."""
        return self.scores[self.metric]


def measure_accuracy(
    images: pa.Table | Path,
    detections: pa.Table | Path,
    truths: Truths,
    spec: VisionSpec,
    *,
    slices: Sequence[str] = (),
    minimum: int = 30,
) -> AccuracyReport:
    """Compare stored predictions with labels, matched by image id as `find_matches` says.

    Intervals take images as independent; subsample the frames of a video first. A detector's come
    from 200 resamples of the images, which takes about half a second for 1,500 detections, and as
    much for each slice.

    Arguments:
        images: the table of images of a run or a store.
        detections: the table of detections, likewise; a classifier needs none.
        truths: ground truth by image id, or a labelled dataset.
        spec: of the model.
        slices: columns of `images` to divide by: numbers into thirds, text, whole numbers and truth
            values by value.
        minimum: images (of a whole, of a slice, of a classifier's class) or objects (of a
            detector's class) below which a score says `insufficient`.

    Raises:
        ConfigError: a slice is no column, or has too many categories.
        DatasetError: a table cannot be read.
        IncompatibleError: labels of another task or of unknown classes, or tables of another task.
    """
    labels = _labels(truths, spec)
    table = _read(images, image_columns(spec, slices), TIME)
    ids, predicted = table["image_id"].to_pylist(), _predicted(table)
    matches = find_matches(sorted(labels), ids, predicted.tolist())
    places = matches.places
    usable = {label: place for label, place in places.items() if predicted[place]}
    rows = np.array(list(usable.values()), np.int64)
    matched_labels = [labels[label] for label in usable]
    kind = task_kind(spec.task)
    scorer = kind.scorer(
        table.select(kind.stored_columns[:1]).take(rows).to_pylist(),
        lambda: stored_boxes(detections, [ids[row] for row in rows]),
        matched_labels,
        spec.class_names,
        Sampling(minimum),
    )
    scores = scorer.overall(np.ones(len(rows), np.bool_))
    metric = next(iter(scores))
    groups = {
        name: chosen
        for column in slices
        for name, chosen in _slice(column, table[column].take(rows))
    }
    return AccuracyReport(
        metric=metric,
        scores=scores,
        classes=scorer.by_class(),
        slices={name: scorer.overall(chosen)[metric] for name, chosen in groups.items()},
        matched=len(rows),
        unmatched=tuple(sorted(labels.keys() - places.keys() - matches.ambiguous.keys())),
        failed=len(places) - len(usable),
        unlabelled=int(predicted.sum()) - len(rows),
        ambiguous=tuple(sorted(matches.ambiguous)),
        span=_span(table[TIME].take(rows)) if TIME in table.column_names else None,
    )


def _labels(truths: Truths, spec: VisionSpec) -> Mapping[str, Prediction]:
    labels = truths_for(truths, spec) if isinstance(truths, LabelledDataset) else truths
    largest = max((k for label in labels.values() for k in label.labels), default=-1)
    if largest >= len(spec.class_names):
        raise IncompatibleError(
            f"labels of the model's {counted(len(spec.class_names), 'class')}",
            found=f"class id {largest}",
        )
    return labels


def truths_for(labels: LabelledDataset, spec: VisionSpec) -> dict[str, Prediction]:
    """Give the labels of a dataset by image id, with the model's class ids.

    Raises:
        IncompatibleError: they are of another task, or of classes that the model does not know.
    """
    if labels.task != spec.task:
        raise IncompatibleError(
            f"labels to {spec.task}", found=f"labels to {labels.task} in {labels.root}"
        )
    return {image.image_id: image.truth for image in in_classes_of(labels, spec.class_names).images}


def _span(times: pa.ChunkedArray) -> tuple[datetime, datetime] | None:
    import pyarrow.compute as pc

    ends = pc.min_max(times).as_py()
    return (ends["min"].astimezone(UTC), ends["max"].astimezone(UTC)) if ends["min"] else None


def image_columns(spec: VisionSpec, slices: Sequence[str] = ()) -> list[str]:
    """The columns of a table of images that `measure_accuracy` asks for."""
    prediction = task_kind(spec.task).stored_columns[:1]
    return list(dict.fromkeys(["image_id", "status", *prediction, *slices]))


def _read(source: pa.Table | Path, columns: Sequence[str], *optional: str) -> pa.Table:
    """Read these columns of a table, in memory, a file or parts, and the optional ones it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(source, pa.Table) and not Path(source).is_file():
        raise DatasetError("a table of a finished run", found=f"no regular file at {source}")
    try:
        names = (
            source.column_names if isinstance(source, pa.Table) else read_schema(Path(source)).names
        )
        missing = [name for name in columns if name not in names]
        if missing:
            raise ConfigError(
                f"a table with the columns {', '.join(columns)}",
                found=f"none called {', '.join(missing)}",
                hint="name a column of the table, and the tables of a model of this task",
            )
        wanted = list(dict.fromkeys([*columns, *(name for name in optional if name in names)]))
        return (
            source.select(wanted)
            if isinstance(source, pa.Table)
            else pq.read_table(source, columns=wanted)
        )
    except (pa.ArrowException, OSError) as error:
        raise DatasetError("a table of a finished run", found=f"{source}: {error}") from error


def _predicted(table: pa.Table) -> npt.NDArray[np.bool_]:
    return np.array([status == "ok" for status in table["status"].to_pylist()], np.bool_)


def stored_boxes(detections: pa.Table | Path, ids: Sequence[str]) -> list[Detections]:
    """The stored detections of these images, in their order.

    Arguments:
        detections: the table of detections of a run or a store.
        ids: of the images.

    Raises:
        ConfigError: the table lacks a column.
        DatasetError: it cannot be read.
    """
    table = _read(detections, ["image_id", "class_id", "confidence", "x1", "y1", "x2", "y2"])
    order = {image_id: place for place, image_id in enumerate(ids)}
    place = np.array(
        [order.get(image_id, -1) for image_id in table["image_id"].to_pylist()], np.int64
    )
    rows = np.argsort(place, kind="stable")
    corners = np.stack([table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1)
    scores, classes = table["confidence"].to_numpy(), table["class_id"].to_numpy()
    edges = np.searchsorted(place[rows], np.arange(len(ids) + 1))
    return [
        Detections(corners[rows[start:stop]], scores[rows[start:stop]], classes[rows[start:stop]])
        for start, stop in pairwise(edges)
    ]


def _slice(column: str, values: pa.ChunkedArray) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Name and mask the groups of a column: thirds of numbers, or a group for each other value."""
    import pyarrow as pa

    if pa.types.is_floating(values.type):
        numbers = np.array(values.to_numpy(zero_copy_only=False), np.float64)
        known = numbers[~np.isnan(numbers)]
        low, high = np.quantile(known, (1 / 3, 2 / 3)) if len(known) else (np.nan, np.nan)
        return [
            (f"{column} ≤ {low:.4g}", numbers <= low),
            (f"{column} {low:.4g}–{high:.4g}", (numbers > low) & (numbers <= high)),
            (f"{column} > {high:.4g}", numbers > high),
        ]
    names = np.array(
        ["none" if value is None else str(value) for value in values.to_pylist()], np.str_
    )
    categories = np.unique(names)
    if len(categories) > _MAX_CATEGORIES:
        raise ConfigError(
            f"slices of at most {_MAX_CATEGORIES} categories",
            found=f"{len(categories)} in {column}",
        )
    return [(f"{column} = {name}", names == name) for name in categories]
