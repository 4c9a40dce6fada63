import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import FailedImage, InferenceRun
from components.errors import DatasetError
from components.runs.finished import finished_run, load_run, write_run


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("images.parquet", "detections.parquet"):
        pq.write_table(pa.table({"image_id": ["a.jpg"] * 50}), folder / name)
    return folder


def test_a_run_reads_back_as_it_was_written(folder):
    run = InferenceRun(
        folder, "digits/3", 7, (FailedImage("a.jpg", "expected an image, found soup"),), 1.5, 1
    )
    write_run(folder, run, "key", {"backend": "onnxruntime"})
    assert load_run(folder) == run


def test_a_run_that_was_moved_tells_its_new_place(folder, tmp_path):
    write_run(folder, InferenceRun(folder, "digits/3", 7, (), 1.5, 1), "key", {})
    moved = folder.rename(tmp_path / "elsewhere")
    assert load_run(moved).images == moved / "images.parquet"


@pytest.mark.parametrize("name", ["run.json", "images.parquet", "detections.parquet"])
def test_an_incomplete_run_is_refused_by_name_of_what_lacks(folder, name):
    write_run(folder, InferenceRun(folder, "digits/3", 7, (), 1.5, 1), "key", {})
    (folder / name).unlink()
    with pytest.raises(DatasetError, match=name):
        load_run(folder)


@pytest.mark.parametrize("content", ["", "[]", '{"run": {}}', '{"run": {"model": 3}, "key": ""}'])
def test_a_damaged_run_file_is_refused(folder, content):
    (folder / "run.json").write_text(content)
    with pytest.raises(DatasetError, match="run it again"):
        load_run(folder)


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: bytes(len(content)), lambda content: content[8:]],
)
@pytest.mark.parametrize("name", ["run.json", "images.parquet", "detections.parquet"])
def test_a_run_that_a_power_cut_damaged_is_no_finished_one(folder, name, damage):
    write_run(folder, InferenceRun(folder, "digits/3", 7, (), 1.5, 1), "key", {})
    assert finished_run(folder, "key") is not None
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(damage(content))
    assert finished_run(folder, "key") is None
    with pytest.raises(DatasetError, match=name):
        load_run(folder)
