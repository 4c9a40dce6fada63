"""Parity of the FP32 ONNX boxes with Ultralytics' own: share matched on validation images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.figure import Figure, conclude
from benchmarks.subject import Subject, scratch
from components.backends import get_backend
from components.contracts import Detections
from components.vision import task_for

IOU, SCORE, BAR = 0.95, 0.02, 0.99


def matched(ours: Detections, theirs: Detections) -> int:
    """Count the boxes that pair one to one: same class, IoU ≥ 0.95 and |Δscore| ≤ 0.02."""
    if not len(ours) or not len(theirs):
        return 0
    a, b = ours.xyxy[:, None].astype(np.float64), theirs.xyxy[None].astype(np.float64)
    overlap = np.clip(
        np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None
    ).prod(-1)
    area = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - overlap
    alike = (
        (overlap / area >= IOU)
        & (np.abs(ours.scores[:, None] - theirs.scores[None]) <= SCORE)
        & (ours.class_ids[:, None] == theirs.class_ids[None])
    )
    taken: set[int] = set()
    for row in alike:
        free = next((int(k) for k in np.flatnonzero(row) if int(k) not in taken), None)
        if free is not None:
            taken.add(free)
    return len(taken)


def measure() -> Figure:
    """Compare over all validation images, counting the boxes of whichever side has more."""
    with scratch() as folder:
        subject = Subject(Path(folder))
        task = task_for(subject.source.spec, confidence=0.25, iou=0.7)
        counts = {"same input (rect=False)": [0, 0], "YOLO.predict's default (rect=True)": [0, 0]}
        with get_backend("onnxruntime").open(subject.source) as session:
            for image in subject.images:
                fitted, frame = task.preprocess(image)
                ours = task.postprocess(session.run(fitted[None]), [frame])[0]
                assert isinstance(ours, Detections)  # noqa: S101 - a detector's task gives detections
                for label, rect in zip(counts, (False, True), strict=True):
                    theirs = subject.predict(image, rect=rect)
                    counts[label][0] += matched(ours, theirs)
                    counts[label][1] += max(len(ours), len(theirs))
    shares = {label: pairs / boxes for label, (pairs, boxes) in counts.items()}
    details = tuple(f"{label}: {counts[label][0]} of {counts[label][1]} boxes" for label in counts)
    share = shares["same input (rect=False)"]
    return Figure(
        "parity",
        f"{100 * share:.2f} % of boxes matched",
        f"≥ {100 * BAR:.0f} %",
        share >= BAR,
        details,
    )


if __name__ == "__main__":
    conclude(measure)
