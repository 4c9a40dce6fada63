import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import DriftState, Verdict
from components.errors import DatasetError, IncompatibleError
from components.images.statistics import STATISTICS_RECIPE
from components.monitoring import MonitoringStore, TrendPoint, assess, build_reference
from components.monitoring.health import check_health
from components.monitoring.reference import pool_reference, read_labels
from components.monitoring.stored import accepted_batches, judged_windows, remember, stored_run
from components.monitoring.tables import read_reference
from components.runs import load_run

MONDAY = datetime(2026, 11, 23, 2, tzinfo=UTC)
POINT = TrendPoint(MONDAY, DriftState.OK, 100, 0.0, 0.9, 0.4)


@pytest.fixture
def kept(write_run, ordinary, tmp_path):
    """Write a run as batch inference does, with the columns that the store and the alerts need."""

    def write(count=60, *, seed=0, at=MONDAY, **other):
        about = {
            "image_id": [f"{at:%d}-{seed}-{k}.jpg" for k in range(count)],
            "sha256": [f"{at:%d}-{seed}-{k}" for k in range(count)],
            "error": pa.nulls(count, pa.string()),
            "predicted_at": pa.array([at] * count, pa.timestamp("us", tz="UTC")),
            "statistics_recipe": pa.array([STATISTICS_RECIPE] * count, pa.int32()),
            "inference_ms": np.random.default_rng(seed).normal(10, 1, count),
            "postprocess_ms": np.ones(count),
        }
        run = write_run({**ordinary(count, seed=seed), **about, **other})
        empty = pa.table({"image_id": pa.array([], pa.string()), "detection": pa.array([], pa.int32())})
        pq.write_table(empty, run.detections)
        return run

    return write


def named(health):
    return {check.name: check for check in health.checks}


def test_an_ordinary_window_passes_what_can_be_told_and_says_what_cannot(kept, tmp_path):
    path = build_reference(kept(300, seed=1), tmp_path / "reference.parquet")
    run = kept(100, seed=2)
    checks = named(check_health(run, read_reference(path), assess(run, path)))
    assert {name for name, check in checks.items() if check.verdict is Verdict.FAIL} == set()
    assert checks["drift"].verdict is checks["error_rate"].verdict is checks["unusual_images"].verdict is Verdict.PASS
    unknown = {name for name, check in checks.items() if check.verdict is Verdict.NOT_EVALUATED}
    assert unknown == {"accuracy_drop", "latency_p95_increase", "unusual_window"}
    assert all(check.reason for check in checks.values())


def test_drift_and_strange_images_and_slow_inference_fail_their_checks(kept, tmp_path):
    path = build_reference(kept(300, seed=1), tmp_path / "reference.parquet")
    run = kept(100, seed=2, brightness=np.full(100, 900.0), inference_ms=np.random.default_rng(0).normal(30, 1, 100))
    before = [pq.read_table(kept(400, seed=9).images)]
    checks = named(check_health(run, read_reference(path), assess(run, path), accepted=before))
    for name in ("drift", "unusual_images", "latency_p95_increase"):
        assert checks[name].verdict is Verdict.FAIL, checks[name]


def test_judged_windows_come_back_in_order_and_the_first_word_counts(kept, tmp_path):
    store = MonitoringStore(tmp_path / "store")
    path = build_reference(kept(300, seed=1), tmp_path / "reference.parquet")
    run = kept(100, seed=2)
    decision = assess(run, path)
    for night in (1, 0):
        key, at = f"night{night}", MONDAY + timedelta(days=night)
        assert remember(store, "digits", 3, key, decision, {"error_share": 0.0}, POINT, at=at)
    assert not remember(store, "digits", 3, "night1", decision, {"error_share": 0.5}, POINT, at=MONDAY)
    found = judged_windows(store, "digits", 3)
    assert [past.key for past in found] == ["night0", "night1"]
    assert found[1].decision == decision and found[1].summary == {"error_share": 0.0}
    assert found[1].past.at == MONDAY + timedelta(days=1) and found[1].trend_point == POINT


def test_accepted_batches_are_pooled_with_the_held_out_images(kept, tmp_path):
    store = MonitoringStore(tmp_path / "store")
    held_out = build_reference(kept(100, seed=1), tmp_path / "reference.parquet")
    for night in range(3):
        run = kept(60, seed=10 + night, at=MONDAY + timedelta(days=night))
        key = store.append(run, key=f"night{night}")
        decision = assess(run, held_out)
        if night == 1:
            decision = replace(decision, state=DriftState.WARN)
        remember(store, "digits", 3, key, decision, {"error_share": 0.0}, POINT, at=MONDAY + timedelta(days=night))
    batches = accepted_batches(store, "digits", 3, judged_windows(store, "digits", 3))
    assert [len(batch) for _, batch in batches] == [60, 60], "the night that was warned of is left out"
    pooled = pool_reference(held_out, batches, tmp_path / "pooled.parquet")
    assert read_reference(pooled).samples == 220
    about = json.loads(pq.read_schema(pooled).metadata[b"foveal.reference"])
    assert about["conditions"] == ["held out"] * 3 and about["model"] == "digits/3"
    assert read_labels(pooled) is None


def test_a_batch_of_another_recipe_or_without_a_column_is_not_pooled(kept, tmp_path):
    held_out = build_reference(kept(100, seed=1), tmp_path / "reference.parquet")
    batch = pq.read_table(kept(60, seed=2).images)
    old = batch.set_column(
        batch.column_names.index("statistics_recipe"), "statistics_recipe", pa.array([1] * 60, pa.int32())
    )
    for wrong, line in ((old, "statistics recipe 2, found 1"), (batch.drop_columns(["brightness"]), "brightness")):
        with pytest.raises(IncompatibleError, match=line):
            pool_reference(held_out, [("held out", wrong)], tmp_path / "pooled.parquet")
    assert not (tmp_path / "pooled.parquet").exists()


def test_a_time_range_of_the_store_is_a_run_like_any_other(kept, tmp_path):
    store = MonitoringStore(tmp_path / "store")
    for night in range(3):
        store.append(kept(60, seed=night, at=MONDAY + timedelta(days=night)))
    run = stored_run(store, "digits", 3, tmp_path / "run", start=MONDAY + timedelta(days=1))
    assert (run.processed, run.model, run.statistics_recipe) == (120, "digits/3", STATISTICS_RECIPE)
    assert load_run(run.folder) == run
    held_out = build_reference(kept(300, seed=7), tmp_path / "reference.parquet")
    assert assess(run, held_out).state is DriftState.OK
    with pytest.raises(DatasetError, match="in this time range"):
        stored_run(store, "digits", 3, tmp_path / "none", start=MONDAY + timedelta(days=9))
