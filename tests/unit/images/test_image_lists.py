"""Lists of images with columns of the caller's own: what is carried, and what is refused."""

from __future__ import annotations

import datetime
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.errors import ConfigError, DatasetError, FovealError
from components.images.lists import reading
from components.images.lists.image_table import ImageTable, list_with_columns, own_columns
from components.images.sources import list_images

TYPED = pa.table(
    {
        "image": ["b.jpg", "a.jpg"],
        "site": pa.array([7, None], pa.int16()),
        "share": pa.array([0.5, 1.5], pa.float32()),
        "day": [datetime.date(2026, 11, 2), datetime.date(2026, 11, 1)],
        "camera": pa.array(["left", "right"]).dictionary_encode(),
    }
)


def write(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path)
    return path


def test_a_parquet_list_keeps_the_types_of_its_other_columns(tmp_path: Path) -> None:
    listed = list_with_columns(write(tmp_path / "list.parquet", TYPED))
    assert [image.image_id for image in listed] == ["a.jpg", "b.jpg"]
    assert listed[0].uri == str(tmp_path / "a.jpg")
    own = own_columns(listed)
    assert own is not None
    assert own.schema == TYPED.drop_columns(["image"]).schema
    assert own.equals(TYPED.drop_columns(["image"]).take([1, 0]))


def test_the_columns_of_a_csv_list_are_text_and_a_short_row_lacks_them(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text('path,id,note\nb.jpg,007,"two, words"\na.jpg,08\n')
    own = own_columns(list_with_columns(tmp_path / "list.csv"))
    assert own is not None
    assert own.to_pydict() == {"id": ["08", "007"], "note": [None, "two, words"]}
    assert set(own.schema.types) == {pa.string()}


@pytest.mark.parametrize("column", ["path", "uri", "image"])
def test_the_column_of_the_images_is_known_by_its_name(tmp_path: Path, column: str) -> None:
    table = pa.table({column: ["a.jpg"], "other": ["x"], "image_id": pa.array([41], pa.int64())})
    place = write(tmp_path / "list.parquet", table)
    listed = list_with_columns(place)
    assert (listed[0].image_id, listed[0].uri) == ("41", str(tmp_path / "a.jpg"))
    assert list(listed) == list(list_images(place))


def test_another_column_is_told_by_its_name(tmp_path: Path) -> None:
    table = pa.table({"path": ["elsewhere"], "frame": ["a.jpg"]})
    listed = list_with_columns(write(tmp_path / "list.parquet", table), "frame")
    own = own_columns(listed)
    assert listed[0].uri == str(tmp_path / "a.jpg")
    assert own is not None and own.to_pydict() == {"path": ["elsewhere"]}


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({"file": ["a.jpg"]}, "row 1 of .* with the columns file"),
        ({"path": pa.array([], pa.string())}, "none in"),
        ({"path": ["a.jpg", None]}, "nothing in row 2"),
        ({"path": ["a.jpg", " "]}, "nothing in row 2"),
        ({"path": ["a.jpg", "b\0.jpg"]}, "a NUL byte in row 2"),
        ({"path": [1]}, "int64"),
        ({"path": ["a.jpg"], "boxes": [[1, 2]]}, "boxes of .* with list<"),
        ({"path": ["a.jpg"], "where": [{"x": 1}]}, "where of .* with struct<"),
        ({"path": ["a.jpg", "a.jpg"]}, "a.jpg twice"),
        ({"path": ["a.jpg"], "": ["x"]}, "one without a name"),
    ],
)
def test_a_parquet_list_that_cannot_be_meant_is_one_clear_line(
    tmp_path: Path, table: dict[str, object], found: str
) -> None:
    place = write(tmp_path / "list.parquet", pa.table(table))
    with pytest.raises(DatasetError, match=found) as raised:
        list_with_columns(place)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "with the columns none"),
        (b"path,a\nx.jpg,1,2\n", "3 in row 1"),
        (b"path,a,a\nx.jpg,1,2\n", "a twice"),
        (b"path,a\nx.jpg,\xff\n", "UTF-8"),
        (b"path\nx\0.jpg\n", "a NUL byte in row 1"),
        (b'path,a\nx.jpg,"' + b"z" * 200_000 + b'"\n', "field larger"),
    ],
)
def test_a_csv_list_that_cannot_be_meant_is_one_clear_line(
    tmp_path: Path, content: bytes, found: str
) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=found) as raised:
        list_with_columns(tmp_path / "list.csv")
    assert "\n" not in str(raised.value)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    damaged = pa.array([b"\xff"], pa.binary()).view(pa.string())
    place = write(tmp_path / "list.parquet", pa.table({"path": ["a.jpg"], "note": damaged}))
    with pytest.raises(DatasetError, match="UTF8"):
        list_with_columns(place)


def test_a_list_larger_than_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write(tmp_path / "list.parquet", pa.table({"path": [f"{k}.jpg" for k in range(999)]}))
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    with pytest.raises(DatasetError, match="when decompressed"):
        list_with_columns(place)


def test_a_column_of_what_is_no_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a list of images"):
        list_with_columns(tmp_path, "frame")


def test_a_list_in_a_store_is_relative_to_itself() -> None:
    import fsspec

    content = pa.BufferOutputStream()
    pq.write_table(pa.table({"path": ["a.jpg"], "site": [3]}), content)
    url = "memory://lists-with-columns/list.parquet"
    with fsspec.open(url, "wb") as file:
        file.write(content.getvalue().to_pybytes())
    listed = list_with_columns(url)
    assert [image.uri for image in listed] == ["memory://lists-with-columns/a.jpg"]
    own = own_columns(listed)
    assert own is not None and own["site"].to_pylist() == [3]


def test_a_table_of_images_is_a_sequence_that_can_be_cut_and_pickled(tmp_path: Path) -> None:
    names = [f"{k:03d}.jpg" for k in range(40)]
    place = write(tmp_path / "list.parquet", pa.table({"path": names, "k": range(40)}))
    table = list_with_columns(place)
    assert isinstance(table, ImageTable)
    images = list(table)
    assert [table[k] for k in (0, -1, 39)] == [images[0], images[-1], images[39]]
    for cut in (slice(3, 9), slice(5, 2), slice(None, None, 7)):
        assert list(table[cut]) == images[cut]
        assert table[cut].own["k"].to_pylist() == list(range(40))[cut]
    assert list(pickle.loads(pickle.dumps(table))) == images  # noqa: S301 - our own
    with pytest.raises(IndexError):
        table[40]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=300), suffix=st.sampled_from([".csv", ".parquet"]))
def test_no_file_ends_in_anything_but_an_error_of_ours(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    place = tmp_path / f"list{suffix}"
    place.write_bytes(content)
    try:
        list_with_columns(place)
    except FovealError as error:
        assert "\n" not in str(error)
