import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import FailedImage, Fit, VisionSpec
from components.errors import DatasetError
from components.inference.batch.shards import Shard, ShardRecord, WorkFolder, work_root
from components.inference.batch.tables import table_schemas
from components.runs.finished import DETECTIONS, IMAGES
from components.vision import task_for

TASK = task_for(VisionSpec("detect", ("thing",), (32, 32), Fit.LETTERBOX, "yolo"))
FIRST, SECOND = Shard(0, 2), Shard(2, 3)
RECORD = ShardRecord(1, (FailedImage("b", "expected an image, found soup"),), (), 0.5)


@pytest.fixture
def work(tmp_path):
    return WorkFolder(tmp_path / "out", "key", table_schemas(TASK))


def rows(*image_ids):
    images, detections = table_schemas(TASK).values()
    found = [{"image_id": one, "status": "ok"} for one in image_ids]
    return {
        IMAGES: pa.Table.from_pylist(found, schema=images),
        DETECTIONS: detections.empty_table(),
    }


def test_a_shard_is_held_once_it_is_written_and_tells_what_it_amounts_to(work):
    assert not work.holds(FIRST)
    work.write(FIRST, rows("a", "b"), RECORD)
    assert work.holds(FIRST) and not work.holds(SECOND)
    assert work.record(FIRST) == RECORD


def test_nothing_is_on_disk_before_the_first_shard(work, tmp_path):
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_cannot_be_written_is_not_held_and_leaves_nothing(work, tmp_path):
    with pytest.raises(KeyError):
        work.write(FIRST, {IMAGES: rows("a", "b")[IMAGES]}, RECORD)
    assert not work.holds(FIRST)
    assert list((work_root(tmp_path / "out") / "key").iterdir()) == []


def test_merging_joins_the_rows_in_order_and_may_be_repeated_after_a_kill(work):
    work.write(SECOND, rows("c"), RECORD)
    work.write(FIRST, rows("a", "b"), RECORD)
    for _ in range(2):
        merged = work.merge([FIRST, SECOND])
        assert pq.read_table(merged / IMAGES)["image_id"].to_pylist() == ["a", "b", "c"]
        assert pq.read_table(merged / DETECTIONS).num_rows == 0
        (merged / "half-written").touch()


@pytest.mark.parametrize("name", [IMAGES, DETECTIONS, "shard.json"])
@pytest.mark.parametrize("left", [0, 30])
def test_a_shard_that_a_power_cut_damaged_is_made_again(work, tmp_path, name, left):
    work.write(FIRST, rows("a", "b"), RECORD)
    os.truncate(work_root(tmp_path / "out") / "key" / FIRST.name / name, left)
    assert not work.holds(FIRST)
    work.write(FIRST, rows("a", "b"), RECORD)
    assert work.holds(FIRST)


def test_a_table_whose_middle_is_lost_is_named_and_its_shard_made_again(work, tmp_path):
    work.write(FIRST, rows("a", "b"), RECORD)
    table = work_root(tmp_path / "out") / "key" / FIRST.name / IMAGES
    content = table.read_bytes()
    table.write_bytes(content[:4] + bytes(len(content) - 2000) + content[-1996:])
    with pytest.raises(DatasetError, match=f"{FIRST.name}/{IMAGES}.*run it again"):
        work.merge([FIRST])
    assert not work.holds(FIRST)


def test_shards_of_another_key_are_removed_and_of_the_same_key_kept(work, tmp_path):
    work.write(FIRST, rows("a", "b"), RECORD)
    assert WorkFolder(tmp_path / "out", "key", table_schemas(TASK)).holds(FIRST)
    assert not WorkFolder(tmp_path / "out", "other", table_schemas(TASK)).holds(FIRST)
    assert not work.holds(FIRST)
