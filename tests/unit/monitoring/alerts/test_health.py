import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import Classification, DriftState, Fit, Verdict, VisionSpec
from components.errors import DatasetError, IncompatibleError
from components.images.statistics import STATISTICS_RECIPE
from components.inference.batch.tables import detections_schema
from components.monitoring import AlertStore, MonitoringStore, TrendPoint, assess, build_reference
from components.monitoring.alerts.health import HealthContext, check_health
from components.monitoring.drift.tables import read_reference
from components.monitoring.performance.accuracy import image_columns, measure_accuracy
from components.monitoring.performance.estimate import ReferenceLabels
from components.monitoring.store.recent import labelled_rows
from components.monitoring.store.reference import pool_reference, read_labels
from components.monitoring.store.stored import (
    EvaluatedWindow,
    accepted_batches,
    engine_times,
    evaluated_windows,
    remember,
    sound_rows,
    stored_run,
)
from components.runs.by_day import TIME
from components.runs.finished import load_run

MONDAY = datetime(2026, 11, 23, 2, tzinfo=UTC)
DAY = timedelta(days=1)
SPEC = VisionSpec("classify", ("cat", "dog"), (32, 32), Fit.STRETCH, "logits")
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
        pq.write_table(detections_schema().empty_table(), run.detections)
        return run

    return write


def named(health):
    return {check.name: check for check in health.checks}


def test_an_ordinary_window_passes_what_can_be_told_and_says_what_cannot(kept, tmp_path):
    path = build_reference(kept(300, seed=1), tmp_path / "reference.parquet")
    run = kept(100, seed=2)
    checks = named(check_health(run, read_reference(path), assess(run, path)))
    assert {name for name, check in checks.items() if check.verdict is Verdict.FAIL} == set()
    assert (
        checks["drift"].verdict
        is checks["error_rate"].verdict
        is checks["unusual_images"].verdict
        is Verdict.PASS
    )
    unknown = {name for name, check in checks.items() if check.verdict is Verdict.NOT_EVALUATED}
    assert unknown == {"accuracy_drop", "latency_p95_increase", "unusual_window"}
    assert all(check.reason for check in checks.values())


def test_drift_and_strange_images_and_slow_inference_fail_their_checks(kept, tmp_path):
    path = build_reference(kept(300, seed=1), tmp_path / "reference.parquet")
    run = kept(
        100,
        seed=2,
        brightness=np.full(100, 900.0),
        inference_ms=np.random.default_rng(0).normal(30, 1, 100),
    )
    before = [pq.read_table(kept(400, seed=9).images)]
    checks = named(
        check_health(run, read_reference(path), assess(run, path), HealthContext(accepted=before))
    )
    for name in ("drift", "unusual_images", "latency_p95_increase"):
        assert checks[name].verdict is Verdict.FAIL, checks[name]


def test_judged_windows_come_back_in_order_and_the_first_word_counts(kept, tmp_path):
    store = MonitoringStore(tmp_path / "store")
    path = build_reference(kept(300, seed=1), tmp_path / "reference.parquet")
    run = kept(100, seed=2)
    decision = assess(run, path)
    for night in (1, 0):
        key, at = f"night{night}", MONDAY + timedelta(days=night)
        assert remember(
            store, "digits", 3, EvaluatedWindow(key, at, decision, {"error_share": 0.0}, POINT)
        )
    assert not remember(
        store, "digits", 3, EvaluatedWindow("night1", MONDAY, decision, {"error_share": 0.5}, POINT)
    )
    found = evaluated_windows(store, "digits", 3)
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
        remember(
            store,
            "digits",
            3,
            EvaluatedWindow(
                key, MONDAY + timedelta(days=night), decision, {"error_share": 0.0}, POINT
            ),
        )
    batches = accepted_batches(store, "digits", 3, evaluated_windows(store, "digits", 3))
    assert [len(batch) for _, batch in batches] == [60, 60], (
        "the night that was warned of is left out"
    )
    pooled = pool_reference(held_out, batches, tmp_path / "pooled.parquet")
    assert read_reference(pooled).samples == 220
    about = json.loads(pq.read_schema(pooled).metadata[b"foveal.reference"])
    assert about["conditions"] == ["held out"] * 3 and about["model"] == "digits/3"
    assert read_labels(pooled) is None


def test_a_batch_of_another_recipe_or_without_a_column_is_not_pooled(kept, tmp_path):
    held_out = build_reference(kept(100, seed=1), tmp_path / "reference.parquet")
    batch = pq.read_table(kept(60, seed=2).images)
    old = batch.set_column(
        batch.column_names.index("statistics_recipe"),
        "statistics_recipe",
        pa.array([1] * 60, pa.int32()),
    )
    for wrong, line in (
        (old, "statistics recipe 2, found 1"),
        (batch.drop_columns(["brightness"]), "brightness"),
    ):
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


@pytest.mark.slow
def test_a_model_that_became_slow_is_slow_until_it_is_as_fast_as_before(kept, tmp_path):
    store, book, told = MonitoringStore(tmp_path / "store"), AlertStore(), []
    path = build_reference(kept(300, seed=1), tmp_path / "reference.parquet")
    for night in range(16):
        slow = 2.0 if 5 <= night < 15 else 1.0
        times = np.random.default_rng(night).gamma(20, 0.5, 150) * slow
        run = kept(150, seed=20 + night, at=MONDAY + night * DAY, inference_ms=times)
        key, decision = store.append(run), replace(assess(run, path), state=DriftState.OK)
        before = engine_times(store, "digits", 3, evaluated_windows(store, "digits", 3))
        health = check_health(run, read_reference(path), decision, HealthContext(accepted=before))
        book, alerts = book.update("digits", health.checks, now=MONDAY + night * DAY)
        told += [
            (night, alert.status.value) for alert in alerts if alert.rule == "latency_p95_increase"
        ]
        remember(
            store,
            "digits",
            3,
            EvaluatedWindow(
                key,
                MONDAY + night * DAY,
                decision,
                health.summary,
                POINT,
                {check.name: check.verdict for check in health.checks},
            ),
        )
    assert told == [(5, "firing"), (15, "resolved")]


@pytest.fixture
def nights(kept, tmp_path):
    """Keep a classifier's nights from Monday, (images, share right) each, labelled ``night/k``."""
    store = MonitoringStore(tmp_path / "store")

    def keep(*nights):
        keys = []
        for night, (count, right) in enumerate(nights):
            found = (np.arange(count) >= right * count).astype(np.int64)
            names = [f"{night}/{k}.jpg" for k in range(count)]
            run = kept(
                count, seed=night, at=MONDAY + night * DAY, image_id=names, prediction_class=found
            )
            keys.append(store.append(run))
        return store, keys

    return keep


def cats(*nights):
    """All images of these nights, (number, images), are labelled as cats."""
    return {
        f"{night}/{k}": Classification(np.eye(2)[0])
        for night, count in nights
        for k in range(count)
    }


def lately(store, keys, labels):
    rows = labelled_rows(
        store, "digits", 3, labels, keys=keys, columns=[*image_columns(SPEC, ["brightness"]), TIME]
    )
    return measure_accuracy(*rows, labels, SPEC, slices=["brightness"])


def test_a_loss_of_accuracy_is_not_diluted_by_all_that_was_right_before(nights):
    store, keys = nights(*[(200, 0.95)] * 6, (200, 0.75), (200, 0.75))
    report = lately(store, keys, cats(*((night, 200) for night in range(8))))
    assert (report.matched, report.score.value) == (400, pytest.approx(0.75))
    assert report.span == (MONDAY + 6 * DAY, MONDAY + 7 * DAY)
    assert [score.samples for score in report.slices.values()] == [134, 133, 133]


def test_labels_that_come_late_are_scored_on_their_own_nights(nights):
    store, keys = nights(*[(60, 1.0)] * 2, *[(60, 0.5)] * 3, *[(60, 1.0)] * 20)
    late = lately(store, keys, cats((1, 60), (3, 60)))
    assert (late.matched, late.score.value) == (120, pytest.approx(0.75)), "however long ago"
    both = lately(store, keys, cats((1, 60), (3, 60), (16, 60)))
    assert (both.matched, len(both.unmatched)) == (120, 60), (
        "what is 14 days older than the newest is left out"
    )
    none = lately(store, keys, {"elsewhere": Classification(np.eye(2)[0])})
    assert (none.matched, none.unlabelled) == (0, 60)
    assert labelled_rows(store, "digits", 3, [], keys=[], columns=["image_id"]) is None


def test_a_label_is_not_given_to_the_newest_of_several_images_of_one_name(kept, tmp_path):
    store, keys = MonitoringStore(tmp_path / "store"), []
    for night in range(3):
        names = [f"{k if k < 40 else f'{night}-{k}'}.jpg" for k in range(500)]
        content = [f"{k}" if k < 10 else f"{night}-{k}" for k in range(500)]
        classes = np.zeros(500, np.int64)
        run = kept(
            500, at=MONDAY + night * DAY, image_id=names, sha256=content, prediction_class=classes
        )
        keys.append(store.append(run))
    labels = {
        f"{name}": Classification(np.eye(2)[0])
        for name in [*range(40), *(f"2-{k}" for k in range(40, 500))]
    }
    report = lately(store, keys, labels)
    assert (report.matched, len(report.ambiguous)) == (470, 30), (
        "ten images were only looked at again"
    )


def test_a_drop_of_accuracy_is_held_back_while_images_are_broken(kept, tmp_path):
    def accuracy(right):
        found = pa.table({"image_id": [f"{k}" for k in range(500)], "status": ["ok"] * 500})
        found = found.append_column(
            "prediction_class", pa.array(np.arange(500) >= right * 500).cast(pa.int64())
        )
        return measure_accuracy(
            found, None, {f"{k}": Classification(np.eye(2)[0]) for k in range(500)}, SPEC
        )

    path = build_reference(kept(300, seed=1), tmp_path / "reference.parquet")
    run = kept(100, seed=2)
    for state, verdict in (
        (DriftState.WARN, Verdict.FAIL),
        (DriftState.DATA_FAULT, Verdict.UNDECIDED),
    ):
        health = check_health(
            run,
            read_reference(path),
            replace(assess(run, path), state=state),
            HealthContext(labels=ReferenceLabels(accuracy(0.95)), accuracy=accuracy(0.70)),
        )
        assert named(health)["accuracy_drop"].verdict is verdict
    assert named(health)["accuracy_drop"].reason.startswith(
        "held back while images are broken: top1 0.950 → 0.700"
    )


def test_images_of_a_window_that_was_a_data_fault_are_not_learnt_from(kept, tmp_path):
    store = MonitoringStore(tmp_path / "store")
    path = build_reference(kept(100, seed=1), tmp_path / "reference.parquet")
    for night, state in enumerate((DriftState.OK, DriftState.DATA_FAULT)):
        run = kept(60, seed=10 + night, at=MONDAY + night * DAY)
        decision = replace(assess(run, path), state=state)
        remember(
            store,
            "digits",
            3,
            EvaluatedWindow(store.append(run), MONDAY + night * DAY, decision, {}, POINT),
        )
    store.append(kept(60, seed=12, at=MONDAY + 2 * DAY))
    sound = sound_rows(store, "digits", 3, store.images("digits", 3))
    assert {name[:2] for name in sound["image_id"].to_pylist()} == {"23", "25"}, (
        "but those that nobody has judged"
    )


def test_a_busy_night_is_pooled_in_part_and_evenly(kept, tmp_path):
    store = MonitoringStore(tmp_path / "store")
    path = build_reference(kept(100, seed=1), tmp_path / "reference.parquet")
    run = kept(2500, seed=2)
    remember(
        store, "digits", 3, EvaluatedWindow(store.append(run), MONDAY, assess(run, path), {}, POINT)
    )
    ((condition, batch),) = accepted_batches(
        store, "digits", 3, evaluated_windows(store, "digits", 3)
    )
    numbers = [int(name.split("-")[2].partition(".")[0]) for name in batch["image_id"].to_pylist()]
    assert (condition, len(numbers), numbers[0], numbers[-1]) == ("held out", 1000, 0, 2499)
    assert set(np.diff(numbers)) == {2, 3}
