"""The columns of a list of images appear in the results, and count for what a run is."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import DatasetError
from components.files import sha256_json
from components.images.lists.image_table import list_with_columns
from components.images.sources import fingerprint, list_images
from components.inference.batch.planning import run_key
from tests.unit.inference.batch.batches import leftovers, run, steady


def listed(photos, tmp_path, **columns) -> Path:
    """Write a list of the photos in the opposite order, with columns."""
    paths = [str(path) for path in sorted(photos.iterdir(), reverse=True)]
    ids = [Path(path).name for path in paths]
    pq.write_table(pa.table({"path": paths, "image_id": ids, **columns}), tmp_path / "list.parquet")
    return tmp_path / "list.parquet"


def test_the_columns_of_a_list_appear_beside_their_images(photos, detector, tmp_path):
    place = listed(photos, tmp_path, site=pa.array(range(9, -1, -1), pa.int8()))
    result = run(list_with_columns(place), detector, tmp_path / "out")
    images = pq.read_table(result.images)
    assert images["site"].to_pylist() == list(range(10))
    assert images.schema.names[-1] == "site" and images.schema.types[-1] == pa.int8()
    plain = run(photos, detector, tmp_path / "plain")
    pd.testing.assert_frame_equal(steady(result)[0].drop(columns="site"), steady(plain)[0])


def test_other_values_of_a_lists_column_make_the_run_anew(photos, detector, tmp_path):
    for first in (0, 1):
        place = listed(photos, tmp_path, site=[first, *range(9)])
        result = run(list_with_columns(place), detector, tmp_path / "out")
        assert pq.read_table(result.images)["site"].to_pylist()[-1] == first


def test_a_list_with_a_column_of_the_results_is_refused_before_anything_runs(
    photos, detector, tmp_path
):
    place = listed(photos, tmp_path, status=["new"] * 10, site=[1] * 10)
    with pytest.raises(DatasetError, match="found status; rename"):
        run(list_with_columns(place), detector, tmp_path / "out", progress=pytest.fail)
    assert not (tmp_path / "out").exists() and leftovers(tmp_path / "out") == []


def test_a_key_does_not_depend_on_how_it_is_streamed(photos, detector):
    sources = list_images(photos)
    whole = sha256_json(
        [{"a": 1}, asdict(detector.spec), [fingerprint(source) for source in sources]]
    )
    assert run_key({"a": 1}, detector.spec, sources) == whole
