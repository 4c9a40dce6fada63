"""Nights that fail anywhere, images that come, change, come late: each is stored exactly once."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contracts import InferenceRun
from components.images.sources import ImageSource
from components.monitoring import MonitoringStore, Watermark
from components.monitoring.store.watermark import PlannedWindow

START = datetime(2026, 3, 10, 2, tzinfo=UTC)
STAGES = ("planned", "inferred", "appended", "committed", "committed again")

nights = st.lists(
    st.tuples(
        # image → its content from now on
        st.dictionaries(st.integers(0, 6), st.integers(0, 2), max_size=4),
        st.sampled_from(STAGES),
        st.one_of(st.none(), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=6,
)


def infer(folder: Path, window: PlannedWindow, at: datetime) -> InferenceRun:
    """A run whose rows say which content of which image they saw."""
    folder.mkdir(parents=True)
    names = [f"{image.image_id}@{image.state}" for image in window.images]
    times = pa.array([at] * len(names), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"image_id": names, "predicted_at": times}), folder / "images.parquet")
    pq.write_table(pa.table({"image_id": pa.array([], pa.string())}), folder / "detections.parquet")
    return InferenceRun(folder, "digits/3", len(names), (), 1.0, 1)


def night(
    root: Path, listing: list[ImageSource], number: int, until: str, limit: int | None
) -> bool:
    """One night that gets as far as `until`; returns whether there was something to do."""
    at, reached = START + timedelta(days=number), STAGES.index(until)
    watermark = Watermark(root, "digits", "memory://shots")
    window = watermark.next_window(listing, at=at, limit=limit)
    if window is None or reached < 1:
        return window is not None
    run = infer(root / "runs" / str(number), window, at)
    if reached >= 2:
        MonitoringStore(root / "store").append(run, key=window.key)
    for _ in range(reached - 2):
        watermark.commit(window)
    return True


@settings(max_examples=20, deadline=None)
@given(nights)
def test_every_image_counts_exactly_once_whatever_fails(plan):
    shots: dict[int, int] = {}
    listed: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        for changes, until, limit in [*plan, *[({}, STAGES[-1], None)] * 2]:
            shots |= changes
            listing = [
                ImageSource(f"{k}", f"memory://shots/{k}", f"{v}") for k, v in sorted(shots.items())
            ]
            listed |= {f"{image.image_id}@{image.state}" for image in listing}
            left = night(Path(folder), listing, number, until, limit)
            number += 1
        while left:
            left = night(Path(folder), listing, number, STAGES[-1], None)
            number += 1
        seen: Counter[str] = Counter()
        if shots:
            seen.update(
                MonitoringStore(Path(folder) / "store").images("digits")["image_id"].to_pylist()
            )
    assert not [name for name, times in seen.items() if times > 1]
    assert {f"{image.image_id}@{image.state}" for image in listing} <= set(seen) <= listed
