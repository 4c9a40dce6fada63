import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.errors import DatasetError, IncompatibleError
from components.images.statistics import IMAGE_COLUMNS, STATISTICS_RECIPE
from components.monitoring import assess, build_reference
from components.monitoring.drift.tables import read_reference, read_window
from components.monitoring.drift.tolerance import learn_tolerances


def test_a_reference_keeps_the_drift_columns_of_images_with_a_prediction(
    tmp_path, write_run, ordinary
):
    run = write_run(ordinary(60, uri=["x"] * 60, decode_ms=np.ones(60)), failed=7)
    path = build_reference(run, tmp_path / "deep" / "reference.parquet")
    table = pq.read_table(path)
    assert set(table.column_names) == {
        *IMAGE_COLUMNS, "batch", "uri",
        "prediction_count", "prediction_confidence_mean", "prediction_top_class",
    }  # fmt: skip
    assert len(table) == 60
    about = json.loads(table.schema.metadata[b"foveal.reference"])
    assert len(about.pop("sha256")) == 64
    assert about == {
        "model": "digits/3", "statistics_recipe": STATISTICS_RECIPE, "samples": 60, "failed": 7,
        "conditions": ["held out"],
        "tolerances": {}, "pictures": [], "labels": None,
    }  # fmt: skip


def test_reading_a_reference_gives_what_the_window_gave(tmp_path, write_run, ordinary):
    run = write_run(ordinary(60), failed=2)
    window, reference = (
        read_window(run),
        read_reference(build_reference(run, tmp_path / "reference.parquet")),
    )
    assert (reference.model, reference.statistics_recipe, reference.failed) == (
        "digits/3",
        STATISTICS_RECIPE,
        2,
    )
    assert list(reference.columns) == list(window.columns)
    for name, values in window.columns.items():
        np.testing.assert_array_equal(values, reference.columns[name])


def test_floats_are_numbers_and_everything_else_is_a_category(write_run, ordinary):
    columns = {
        "prediction_top_class": np.array([3, -1, 0]),
        "prediction_label": ["cat", None, "dog"],
        "prediction_sure": [True, False, None],
        "prediction_score": [0.5, None, 0.25],
    }
    table = read_window(write_run(ordinary(3) | columns))
    assert table.columns["prediction_top_class"].tolist() == ["3", "nothing found", "0"]
    assert table.columns["prediction_label"].tolist() == ["cat", "nothing found", "dog"]
    assert table.columns["prediction_sure"].tolist() == ["True", "False", "nothing found"]
    np.testing.assert_array_equal(table.columns["prediction_score"], [0.5, np.nan, 0.25])


def test_several_runs_are_pooled(tmp_path, write_run, ordinary):
    runs = [write_run(ordinary(60, seed=seed), failed=seed) for seed in (1, 2)]
    reference = read_reference(build_reference(runs, tmp_path / "reference.parquet"))
    assert (reference.samples, reference.failed) == (120, 3)


def test_the_hash_of_a_reference_follows_its_rows(tmp_path, write_run, ordinary):
    def digest(seed):
        path = build_reference(write_run(ordinary(60, seed=seed)), tmp_path / "reference.parquet")
        return json.loads(pq.read_schema(path).metadata[b"foveal.reference"])["sha256"]

    assert digest(1) == digest(1) != digest(2)


def test_the_hash_of_a_reference_tells_apart_what_is_missing_or_shifted(
    tmp_path, write_run, ordinary
):
    def digest(**columns):
        path = build_reference(
            write_run(ordinary(4, seed=1, **columns)), tmp_path / "reference.parquet"
        )
        return json.loads(pq.read_schema(path).metadata[b"foveal.reference"])["sha256"]

    usual, texts = [0.0, 1.0, 2.0, 3.0], ["a", "bc", "d", "e"]
    found = {
        digest(brightness=brightness, prediction_kind=kind)
        for brightness in (usual, [None, 1.0, 2.0, 3.0], usual[::-1])
        for kind in (texts, ["ab", "c", "d", "e"], [None, *texts[1:]], ["", *texts[1:]])
    }
    assert len(found) == 12


def test_accepted_batches_teach_how_far_a_column_may_move(tmp_path, write_run, ordinary):
    rng = np.random.default_rng(0)
    runs = [
        write_run(ordinary(60, seed=k, megapixels=rng.normal(100 + rng.normal(0, 10), 15, 60)))
        for k in range(20)
    ]
    tolerances = read_reference(build_reference(runs, tmp_path / "reference.parquet")).tolerances[
        "held out"
    ]
    others = [value for name, value in tolerances.items() if name != "megapixels"]
    assert tolerances["megapixels"] > 2 * max(others)
    assert (
        read_reference(build_reference(runs[:19], tmp_path / "reference.parquet")).tolerances == {}
    )


def test_one_odd_batch_widens_the_limits_of_no_other_column(ordinary, write_run):
    rng = np.random.default_rng(0)

    def batch(seed, odd):
        width = np.where(rng.random(250) < odd, 800.0, 640.0)
        return read_window(write_run(ordinary(250, seed=seed, width=width)))

    batches = [batch(k, odd=0.18 if k == 7 else 0.01) for k in range(25)]
    learnt = learn_tolerances(batches, minimum_values=20)
    assert max(limit for name, limit in learnt.items() if name != "width") <= 0.2 < learnt["width"]


def test_embeddings_are_kept_and_compared_as_vectors(tmp_path, write_run, ordinary):
    rng = np.random.default_rng(0)
    near, far = (list(rng.normal(middle, 1, (100, 40)).astype(np.float32)) for middle in (0.0, 0.7))
    path = build_reference(
        write_run(ordinary(100, seed=1, embedding=near)), tmp_path / "reference.parquet"
    )
    again = list(rng.normal(0, 1, (100, 40)).astype(np.float32))
    same, moved = (
        assess(write_run(ordinary(100, seed=2, embedding=vectors)), path)
        for vectors in (again, far)
    )
    assert not [column for column in same.columns if column.drifted]
    assert [column.column for column in moved.columns if column.drifted] == ["embedding"]


@pytest.mark.parametrize("other", [{"model": "cats/1"}, {"recipe": 1}])
def test_runs_of_another_model_or_recipe_are_not_pooled(tmp_path, write_run, ordinary, other):
    runs = [write_run(ordinary()), write_run(ordinary(), **other)]
    with pytest.raises(IncompatibleError, match="one model with one statistics recipe"):
        build_reference(runs, tmp_path / "reference.parquet")
    assert not (tmp_path / "reference.parquet").exists()


def test_a_run_without_any_prediction_makes_no_reference(tmp_path, write_run, ordinary):
    with pytest.raises(DatasetError, match="at least one image with a prediction"):
        build_reference(write_run(ordinary(0), failed=3), tmp_path / "reference.parquet")
    assert not (tmp_path / "reference.parquet").exists()


@pytest.mark.parametrize("lost", ["status", "brightness"])
def test_a_table_without_a_needed_column_is_refused_by_its_name(
    tmp_path, write_run, ordinary, lost
):
    run = write_run(ordinary())
    pq.write_table(pq.read_table(run.images).drop_columns([lost]), run.images)
    with pytest.raises(IncompatibleError, match=f"without {lost}"):
        build_reference(run, tmp_path / "reference.parquet")


@pytest.mark.parametrize("content", [None, b"", b"PAR1 no more", "another"])
def test_what_is_no_reference_is_refused(tmp_path, write_run, ordinary, content):
    path = tmp_path / "reference.parquet"
    if content == "another":
        path = write_run(ordinary()).images
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match="a drift reference"):
        read_reference(path)
