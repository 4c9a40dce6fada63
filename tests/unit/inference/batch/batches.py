"""Batch inference over a folder, and the tables that it leaves."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from components.contracts import InferenceRun, Variant
from components.images.sources import list_images
from components.inference import BatchSettings, run_batch

VOLATILE = ["decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms", "predicted_at"]


def run(source, artifact, output, **changes) -> InferenceRun:
    options = {
        "backend": "onnxruntime",
        "name": "colours/1",
        "threads": 1,
        "batch": 3,
        "shard_images": 4,
        **changes,
    }
    model, listeners = (
        {name: options.pop(name) for name in names if name in options}
        for names in (("name", "backend", "confidence", "iou"), ("progress", "resumed"))
    )
    sources = list_images(source) if isinstance(source, Path | str) else source
    settings = BatchSettings(**options)
    return run_batch(
        sources, Variant(artifact=artifact, **model), output, settings=settings, **listeners
    )


def tables(run: InferenceRun) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pq.read_table(run.images).to_pandas(), pq.read_table(run.detections).to_pandas()


def steady(run: InferenceRun) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables without what differs from run to run."""
    images, detections = tables(run)
    return images.drop(columns=VOLATILE), detections


def assert_same(one: InferenceRun, other: InferenceRun) -> None:
    for a, b in zip(steady(one), steady(other), strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    assert (one.processed, one.failures) == (other.processed, other.failures)


def leftovers(output: Path) -> list[str]:
    return [path.name for path in output.parent.glob(f".*{output.name}*")]


def white(path: Path) -> Path:
    cv2.imwrite(str(path), np.full((40, 40, 3), 255, np.uint8))
    return path
