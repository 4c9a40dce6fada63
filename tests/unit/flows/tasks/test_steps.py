"""Steps: keys follow content, results survive as JSON."""

from __future__ import annotations

import pytest

from components.contracts import Budget, FailedImage, InferenceRun
from flows.config.release import Thresholds
from flows.tasks.steps import ContractSerializer, Images, Split, is_sound, seal, step_key


@pytest.mark.parametrize(
    "value",
    [
        None,
        Budget(p95_ms=5.0),
        (Budget(size_mb=1.0), Budget()),
        InferenceRun("folder", "digits/1", 3, (FailedImage("a.jpg", "torn"),), 1.5, 1),
    ],
)
def test_a_result_survives_as_json(value):
    serializer = ContractSerializer()
    revived = serializer.loads(serializer.dumps(value))
    assert serializer.dumps(revived) == serializer.dumps(value)
    assert type(revived) is type(value)


def test_a_path_survives(tmp_path):
    serializer = ContractSerializer()
    assert serializer.loads(serializer.dumps(tmp_path)) == tmp_path


def test_an_error_is_kept_by_its_words():
    serializer = ContractSerializer()
    revived = serializer.loads(serializer.dumps(ValueError("no such split")))
    assert str(revived) == "ValueError: no such split"


def test_the_key_follows_the_content_of_a_file_and_not_its_name(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("same")
    two.write_text("same")
    key = step_key("step", {"path": one})
    assert key == step_key("step", {"path": two})
    one.write_text("changed")
    assert key != step_key("step", {"path": one})


def test_the_key_follows_every_parameter(tmp_path):
    keys = {step_key("step", {"thresholds": Thresholds(confidence=c)}) for c in (0.1, 0.2, 0.2)}
    assert len(keys) == 2


def test_the_key_follows_the_labels_of_a_split(scenes, tmp_path):
    import shutil

    copy = tmp_path / "digits"
    shutil.copytree(scenes.parent, copy)
    before = step_key("step", {"split": Split(copy / "data.yaml", "golden")})
    assert before == step_key("step", {"split": Split(scenes, "golden")})
    label = next(
        path for path in sorted((copy / "labels" / "golden").iterdir()) if path.read_text()
    )
    label.write_text("0 0.5 0.5 0.25 0.25\n")
    assert before != step_key("step", {"split": Split(copy / "data.yaml", "golden")})


def test_the_key_follows_new_images_in_a_folder(scenes, tmp_path):
    image = next((scenes.parent / "images" / "golden").iterdir())
    (tmp_path / "a.jpg").write_bytes(image.read_bytes())
    before = step_key("step", {"images": Images(str(tmp_path))})
    (tmp_path / "b.jpg").write_bytes(image.read_bytes())
    assert before != step_key("step", {"images": Images(str(tmp_path))})


@pytest.fixture
def finished(tmp_path):
    """The folder of a finished step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "step"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "model.onnx").write_bytes(b"weights")
    (folder / "empty.txt").touch()
    (folder / "report.json").write_text("{}")
    pq.write_table(pa.table({"a": [1]}), folder / "table.parquet")
    seal(folder)
    return folder


def test_a_finished_step_is_sound_until_a_file_is_damaged(finished):
    assert is_sound(finished)
    for name in ("inner/model.onnx", "report.json", "table.parquet"):
        content = (finished / name).read_bytes()
        for damaged in (b"", bytes(len(content)), content[:-1]):
            if name != "inner/model.onnx" or len(damaged) != len(content):
                (finished / name).write_bytes(damaged)
                assert not is_sound(finished), name
        (finished / name).write_bytes(content)
    assert is_sound(finished)


def test_a_step_without_its_files_or_its_listing_is_not_sound(finished):
    (finished / "empty.txt").rename(finished / "other.txt")
    assert not is_sound(finished)
    (finished / "other.txt").rename(finished / "empty.txt")
    listing = finished.with_name("step.files.json")
    listing.write_text("")
    assert not is_sound(finished)
    listing.unlink()
    assert not is_sound(finished)
