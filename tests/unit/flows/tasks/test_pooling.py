"""A night's window: its reference, pooled once for each accepted set, and what is kept, once."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from prefect.utilities.collections import visit_collection

from components.contracts import (
    DriftState,
    Fit,
    InferenceRun,
    LoadedModel,
    ModelVersion,
    VisionSpec,
)
from components.images.statistics import IMAGE_COLUMNS, STATISTICS_RECIPE
from components.monitoring import MonitoringStore, TrendPoint, assess, build_reference
from components.monitoring.alerts.book import KIND as ALERTS
from components.monitoring.drift.tables import read_reference
from components.monitoring.store.stored import EvaluatedWindow, evaluated_windows, remember
from flows.config.monitor import NightlyConfig
from flows.tasks import stores
from flows.tasks.monitoring import window as watching
from flows.tasks.monitoring.health import Occasion

MONDAY = datetime(2026, 11, 23, 2, tzinfo=UTC)
DIGITS = ModelVersion("digits", 3, "run")


def finished(folder, seed, at=MONDAY):
    """A run of 60 ordinary images."""
    rng, ids = np.random.default_rng(seed), [f"{seed}-{k}.jpg" for k in range(60)]
    folder.mkdir()
    rows = {name: rng.normal(100, 15, 60) for name in IMAGE_COLUMNS} | {
        "prediction_count": rng.normal(5, 1, 60)
    }
    rows |= {"image_id": ids, "status": ["ok"] * 60, "statistics_recipe": [STATISTICS_RECIPE] * 60}
    rows |= {"inference_ms": rng.normal(5, 0.1, 60)}
    times = pa.array([at] * 60, pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(rows).append_column("predicted_at", times), folder / "images.parquet")
    pq.write_table(pa.table({"image_id": pa.array([], pa.string())}), folder / "detections.parquet")
    return InferenceRun(folder, "digits/3", 60, (), 1.0, STATISTICS_RECIPE)


def test_a_night_leaves_no_old_pooled_reference_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    held_out = build_reference(finished(tmp_path / "held-out", 0), tmp_path / "reference.parquet")
    assert stores.pool_reference.fn(held_out, DIGITS) == held_out, "nothing was accepted yet"
    store, pooled = MonitoringStore(tmp_path / "home" / "store"), []
    for night in range(3):
        at = MONDAY + timedelta(days=night)
        run = finished(tmp_path / f"night-{night}", night + 1, at)
        point = TrendPoint(at, DriftState.OK, 60, 0.0, 0.9, 0.4)
        remember(
            store,
            "digits",
            3,
            EvaluatedWindow(store.append(run), at, assess(run, held_out), {}, point),
        )
        for path in pooled[-1:]:
            os.utime(path, (0, 0))
        pooled.append(stores.pool_reference.fn(held_out, DIGITS))
        assert stores.pool_reference.fn(held_out, DIGITS) == pooled[-1], (
            "the same windows are pooled once"
        )
    assert [path.exists() for path in pooled] == [False, False, True]
    assert read_reference(pooled[-1]).samples == 4 * 60


def test_a_window_that_is_done_again_from_its_beginning_is_told_and_remembered_once(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FOVEAL_ALERT_URLS", raising=False)
    reference = build_reference(finished(tmp_path / "held-out", 0), tmp_path / "reference.parquet")
    spec = VisionSpec("detect", ("digit",), (64, 64), Fit.LETTERBOX, "yolo")
    model, config = (
        LoadedModel(DIGITS, tmp_path, reference, spec),
        NightlyConfig(name="digits", images="shots"),
    )
    run, store = finished(tmp_path / "night", 1), MonitoringStore(tmp_path / "home" / "store")
    occasion = Occasion(store.append(run), MONDAY, "digits")
    for _ in range(2):
        found = watching.evaluate_window.fn(config, model, occasion, run, reference)
        assert visit_collection(found, lambda value: value, return_data=True) == found, (
            "Prefect hands it on as it is"
        )
        report = watching.report_window.fn(found, occasion, run, reference, tmp_path / "drift")
        assert (report.decision, report.html.is_file()) == (found.decision, True)
        assert watching.notify.fn(model, occasion, found) == ()
        watching.remember_window.fn(model, occasion, found, report)
    (kept,) = evaluated_windows(store, "digits", 3)
    assert (kept.key, kept.decision.state, found.trend) == (occasion.key, DriftState.OK, ())
    assert store.records("digits", ALERTS) == ()
    later = watching.evaluate_window.fn(
        config, model, Occasion("next", MONDAY, "digits"), run, reference
    )
    assert later.trend == (kept.trend_point,)
