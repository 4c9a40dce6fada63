"""Checks of a window besides drift: accuracy, latency, errors, and unusual images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from components.contracts import Check, DriftDecision, DriftState, InferenceRun, Verdict, VisionSpec
from components.datasets.dataset import LabelledDataset
from components.datasets.matching import match_ids
from components.monitoring.alerts.rules import ACCURACY, AlertPolicy, check_alerts, read_health
from components.monitoring.drift.anomalies import (
    Anomalies,
    Columns,
    check_window,
    find_anomalies,
    median_errors,
    summarise_window,
)
from components.monitoring.drift.tables import DriftTable, read_window
from components.monitoring.performance.accuracy import AccuracyReport, measure_accuracy, truths_for
from components.monitoring.performance.estimate import (
    LabelledConfidence,
    ReferenceLabels,
    estimate_accuracy,
)
from components.printing import counted
from components.statistics.intervals import wilson
from components.vision import task_kind

if TYPE_CHECKING:
    import pyarrow as pa

_CONFIDENCE = "prediction_confidence"  # of a classifier's best class
_ORDINARY = 0.01  # share of unusual images that is no news; half as many are expected


@dataclass(frozen=True)
class Health:
    """A window's checks, numbers to remember it by, and its measured or estimated accuracy."""

    checks: tuple[Check, ...]
    summary: Mapping[str, float]
    accuracy: AccuracyReport | None


@dataclass(frozen=True, eq=False)
class HealthContext:
    """Known facts about a model beside the window.

    Arguments:
        labels: what is known of the reference's accuracy.
        accuracy: of the model of late, where labels have come.
        accepted: what latency is compared with: the rows of earlier windows.
        summaries: what earlier windows in which nothing was amiss are remembered by.
    """

    labels: ReferenceLabels | None = None
    accuracy: AccuracyReport | None = None
    accepted: Sequence[pa.Table] = ()
    summaries: Sequence[Mapping[str, float]] = ()


def label_reference(
    held_out: Sequence[tuple[InferenceRun, LabelledDataset]], spec: VisionSpec
) -> ReferenceLabels:
    """Measure the held-out runs whose rows become the reference, all together.

    Arguments:
        held_out: each run with the labels of its images.
        spec: of the model.

    Raises:
        DatasetError: labels fit images ambiguously.
        IncompatibleError: they are of classes that the model does not know.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = pa.concat_tables(
        [_of_part(pq.read_table(run.images), k) for k, (run, _) in enumerate(held_out)]
    )
    boxes = pa.concat_tables(
        [_of_part(pq.read_table(run.detections), k) for k, (run, _) in enumerate(held_out)]
    )
    truths = {
        f"{k}/{image_id}": truth
        for k, (_, part) in enumerate(held_out)
        for image_id, truth in truths_for(part, spec).items()
    }
    places = match_ids(sorted(truths), images["image_id"].to_pylist())
    # when does not matter here
    accuracy = replace(measure_accuracy(images, boxes, truths, spec), span=None)
    if task_kind(spec.task).why_no_estimate:
        return ReferenceLabels(accuracy)
    table = images.select(["image_id", "status", "prediction_class", _CONFIDENCE]).to_pylist()
    known = [
        (table[place], truths[label])
        for label, place in places.items()
        if table[place]["status"] == "ok"
    ]
    return ReferenceLabels(
        accuracy,
        tuple(row[_CONFIDENCE] for row, _ in known),
        tuple(row["prediction_class"] in truth.labels for row, truth in known),
    )


def _of_part(table: pa.Table, part: int) -> pa.Table:
    """A run's table whose image ids cannot be taken for those of another run."""
    import pyarrow as pa

    ids = pa.array(
        [f"{part}/{image_id}" for image_id in table["image_id"].to_pylist()], pa.string()
    )
    return table.set_column(table.column_names.index("image_id"), "image_id", ids)


def check_health(
    run: InferenceRun,
    reference: DriftTable,
    decision: DriftDecision,
    context: HealthContext | None = None,
    policy: AlertPolicy | None = None,
) -> Health:
    """Evaluate everything that an alert may be about in a window, as checks of one kind.

    Arguments:
        run: the window.
        reference: what its images are compared with.
        decision: what the drift policy said.
        context: what else is known of the model.
        policy: the limits of the alerts.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    context = context or HealthContext()
    labels, accepted, summaries = context.labels, context.accepted, context.summaries
    columns = ["status", "inference_ms"]
    rows = pq.read_table(run.images, columns=columns)
    window = read_window(run)
    accuracy = context.accuracy or _estimated(labels, window)
    before = (
        pa.concat_tables([table.select(columns) for table in accepted])
        if accepted
        else rows.slice(0, 0)
    )
    known = labels.accuracy if labels else None
    like = reference.by_condition(0).get(decision.condition, reference)
    numbers = window.numbers
    summary = summarise_window(numbers, images=max(1, len(rows)), failed=window.failed)
    anomalies = _anomalies(reference, window, numbers)
    alerts = check_alerts(read_health(before, known), read_health(rows, accuracy), policy)
    checks = (
        *(_held_back(check, decision) for check in alerts),
        _drift(decision),
        _fault(decision),
        _unusual_images(anomalies, window.samples),
        _unusual_window(
            summary, summaries, median_errors(_shared(like, numbers), images=max(1, window.samples))
        ),
    )
    return Health(checks, summary, accuracy)


def _held_back(check: Check, decision: DriftDecision) -> Check:
    """Leave a drop of accuracy undecided while images are broken.

    It would start a retraining on them.
    """
    if (check.name, check.verdict, decision.state) != (
        ACCURACY,
        Verdict.FAIL,
        DriftState.DATA_FAULT,
    ):
        return check
    return replace(
        check,
        verdict=Verdict.UNDECIDED,
        reason=f"held back while images are broken: {check.reason}",
    )


def _estimated(labels: ReferenceLabels | None, window: DriftTable) -> AccuracyReport | None:
    if labels is None or not labels.correct or _CONFIDENCE not in window.columns:
        return None
    reference = LabelledConfidence(
        np.array(labels.confidence, np.float64), np.array(labels.correct, np.bool_)
    )
    return estimate_accuracy("classify", reference, window.columns[_CONFIDENCE])


def _anomalies(reference: DriftTable, window: DriftTable, numbers: Columns) -> Anomalies:
    names = window.names.get("image_id", np.arange(window.samples).astype(str))
    return find_anomalies(_shared(reference, numbers), numbers, [str(name) for name in names])


def _shared(reference: DriftTable, numbers: Columns) -> dict[str, npt.NDArray[np.float64]]:
    return {name: values for name, values in reference.columns.items() if name in numbers}


def _drift(decision: DriftDecision) -> Check:
    verdict = {DriftState.DRIFT: Verdict.FAIL, DriftState.OK: Verdict.PASS}.get(
        decision.state, Verdict.UNDECIDED
    )
    return Check("drift", None, None, verdict, decision.reasons[0])


def _fault(decision: DriftDecision) -> Check:
    verdicts = {
        DriftState.DATA_FAULT: Verdict.FAIL,
        DriftState.INSUFFICIENT_DATA: Verdict.NOT_EVALUATED,
    }
    verdict = verdicts.get(decision.state, Verdict.PASS)
    sound = "no more broken images than in the reference"
    return Check(
        "data_fault", None, None, verdict, sound if verdict is Verdict.PASS else decision.reasons[0]
    )


def _unusual_images(anomalies: Anomalies, images: int) -> Check:
    name = "unusual_images"
    if anomalies.limit is None or not images:
        return Check(name, None, _ORDINARY, Verdict.NOT_EVALUATED, anomalies.reason or "no images")
    share = len(anomalies.found) / images
    low = wilson(share, images, 0.99).low
    reason = (
        f"{len(anomalies.found)} of {counted(images, 'image')} ({share:.1%}) are unlike "
        "nearly all of the reference"
    )
    if anomalies.found:
        reason += f": {', '.join(anomaly.image_id for anomaly in anomalies.found[:3])}"
    verdict = Verdict.FAIL if low > _ORDINARY else Verdict.PASS
    return Check(name, share, _ORDINARY, verdict, reason)


def _unusual_window(
    summary: Mapping[str, float],
    summaries: Sequence[Mapping[str, float]],
    errors: Mapping[str, float],
) -> Check:
    found, reason = check_window(summary, summaries, errors=errors)
    if reason:
        return Check("unusual_window", None, None, Verdict.NOT_EVALUATED, reason)
    if not found:
        return Check(
            "unusual_window", None, None, Verdict.PASS, "every column is within its usual range"
        )
    words = ", ".join(f"{one.column} {one.value:.3g} (z {one.z:+.1f})" for one in found[:3])
    return Check(
        "unusual_window",
        abs(found[0].z),
        None,
        Verdict.FAIL,
        f"unlike the accepted windows: {words}",
    )
