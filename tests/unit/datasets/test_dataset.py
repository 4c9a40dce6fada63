"""Labelled datasets: YOLO's files and image folders, right and wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from components.contracts import Classification, Detections
from components.datasets.dataset import LabelledDataset, load_dataset
from components.errors import DatasetError
from components.vision import TASKS
from tests.toy.plugins import Count

WIDTH, HEIGHT = 40, 20


def write_image(path: Path, *, level: int = 90, orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (WIDTH, HEIGHT), (level, 80, 70)).save(path, exif=exif)


def write_yolo(root: Path, *, labels: dict[str, str] | None = None, **description: Any) -> Path:
    """Three images in images/val, with labels for those that are named."""
    for number, stem in enumerate("abc"):
        write_image(root / "images" / "val" / f"{stem}.jpg", level=50 * number)
    (root / "labels" / "val").mkdir(parents=True)
    for stem, text in ({"a": "1 0.5 0.5 0.25 0.5\n"} if labels is None else labels).items():
        (root / "labels" / "val" / f"{stem}.txt").write_text(text)
    content = {"names": ["cat", "dog"], "val": "images/val"} | description
    (root / "data.yaml").write_text(yaml.safe_dump(content))
    return root / "data.yaml"


def write_folder(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        write_image(root / name, level=number)
    return root


def boxes(dataset: LabelledDataset) -> dict[str, list[list[float]]]:
    found = {}
    for image in dataset.images:
        assert isinstance(image.truth, Detections)
        found[image.image_id] = [
            [float(class_id), *map(float, box)]
            for class_id, box in zip(image.truth.class_ids, image.truth.xyxy, strict=True)
        ]
    return found


def test_boxes_are_in_pixels_and_images_without_labels_are_background(tmp_path: Path) -> None:
    dataset = load_dataset(write_yolo(tmp_path), "val")
    assert boxes(dataset) == {"a.jpg": [[1, 15, 5, 25, 15]], "b.jpg": [], "c.jpg": []}
    assert dataset.task == "detect"
    assert dataset.class_names == ("cat", "dog")
    assert dataset.root == tmp_path
    assert [image.path for image in dataset.images] == [
        tmp_path / "images" / "val" / f"{stem}.jpg" for stem in "abc"
    ]
    assert isinstance(dataset.images[0].truth, Detections)
    assert dataset.images[0].truth.scores.tolist() == [1]


def test_a_task_reads_the_labels_as_its_own_ground_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "count", "tests.toy.plugins:CountThings")
    file = write_yolo(tmp_path / "boxes")
    counted = load_dataset(file, "val", task="count")
    assert counted.task == "count"
    assert [image.truth for image in counted.images] == [Count(1.0), Count(0.0), Count(0.0)]
    assert counted.sha256 == load_dataset(file, "val").sha256
    folder = write_folder(tmp_path / "classes", "val/cat/a.jpg")
    assert load_dataset(folder, "val", task="count").task == "classify"  # its labels are no boxes


def test_a_folder_with_a_data_yaml_is_that_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_yolo(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert load_dataset(tmp_path, "val") == load_dataset(Path(tmp_path.name) / "data.yaml", "val")
    file.rename(tmp_path / "dataset.yml")
    assert load_dataset(tmp_path, "val").class_names == ("cat", "dog")


def test_boxes_follow_the_upright_image(tmp_path: Path) -> None:
    file = write_yolo(tmp_path)
    write_image(tmp_path / "images" / "val" / "a.jpg", orientation=6)
    assert boxes(load_dataset(file, "val"))["a.jpg"] == [[1, 7.5, 10, 12.5, 30]]


@pytest.mark.parametrize("asked", ["val", "valid", "validation"])
@pytest.mark.parametrize("written", ["val", "valid", "validation"])
def test_val_has_three_names(tmp_path: Path, asked: str, written: str) -> None:
    file = write_yolo(tmp_path / "yolo", **{"val": None, written: "images/val"})
    assert len(load_dataset(file, asked).images) == 3
    folder = write_folder(tmp_path / "folder", f"{written}/cat/a.jpg")
    assert len(load_dataset(folder, asked).images) == 1


def test_names_may_be_a_mapping_in_any_order(tmp_path: Path) -> None:
    assert load_dataset(write_yolo(tmp_path, names={1: "dog", 0: "cat"}), "val").class_names == (
        "cat",
        "dog",
    )


@pytest.mark.parametrize("names", [None, [], {0: "cat", 2: "dog"}, "cat", {"cat": 0}, 3])
def test_names_that_leave_class_ids_open_are_an_error(tmp_path: Path, names: Any) -> None:
    with pytest.raises(DatasetError, match=r"names|name for each class id"):
        load_dataset(write_yolo(tmp_path, names=names), "val")


def test_path_and_lists_say_where_a_split_lies(tmp_path: Path) -> None:
    write_yolo(tmp_path / "data")
    write_image(tmp_path / "data" / "images" / "more" / "d.jpg")
    (tmp_path / "data" / "list.txt").write_text("./images/val/a.jpg\nimages/val/b.jpg\n")
    file = tmp_path / "mine.yaml"
    splits = {
        "val": ["images/val", "images/more"],
        "test": "list.txt",
        "both": ["list.txt", "images/val"],
    }
    file.write_text(yaml.safe_dump({"path": "data", "names": ["cat", "dog"], **splits}))
    assert list(boxes(load_dataset(file, "val"))) == [
        "more/d.jpg",
        "val/a.jpg",
        "val/b.jpg",
        "val/c.jpg",
    ]
    assert list(boxes(load_dataset(file, "test"))) == ["images/val/a.jpg", "images/val/b.jpg"]
    assert list(boxes(load_dataset(file, "both"))) == [f"images/val/{stem}.jpg" for stem in "abc"]
    file.write_text(
        yaml.safe_dump({"path": str(tmp_path / "data"), "names": ["cat", "dog"], **splits})
    )
    assert len(load_dataset(file, "val").images) == 4


def test_roboflows_paths_are_understood(tmp_path: Path) -> None:
    write_image(tmp_path / "valid" / "images" / "a.jpg")
    (tmp_path / "valid" / "labels").mkdir()
    (tmp_path / "valid" / "labels" / "a.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "data.yaml").write_text(
        "names: [cat]\nnc: 1\ntrain: ../train/images\nval: ../valid/images\n"
    )
    assert boxes(load_dataset(tmp_path, "val")) == {"a.jpg": [[0, 0, 0, 40, 20]]}
    with pytest.raises(DatasetError, match=r"nothing at .*train/images.*correct train or path"):
        load_dataset(tmp_path, "train")


def test_labels_may_lie_beside_images(tmp_path: Path) -> None:
    write_image(tmp_path / "shots" / "a.v1.jpg")
    (tmp_path / "shots" / "a.v1.txt").write_text("0 0.5 0.5 1 1\n")
    (tmp_path / "data.yaml").write_text("names: [cat]\nval: shots\n")
    assert boxes(load_dataset(tmp_path, "val")) == {"a.v1.jpg": [[0, 0, 0, 40, 20]]}


def test_the_last_folder_called_images_is_the_one_that_labels_mirror(tmp_path: Path) -> None:
    file = write_yolo(tmp_path / "images" / "set")
    assert len(boxes(load_dataset(file, "val"))["a.jpg"]) == 1


def test_polygons_and_keypoints_become_their_boxes(tmp_path: Path) -> None:
    polygon = "0 0.25 0.1 0.5 0.2 0.75 0.9"
    file = write_yolo(tmp_path, labels={"a": f"{polygon}\n1 0.5 0.5 0.5 0.5\n"})
    assert boxes(load_dataset(file, "val"))["a.jpg"] == [[0, 10, 2, 30, 18], [1, 10, 5, 30, 15]]
    keypoints = "1 0.5 0.5 0.5 0.5 0.1 0.1 2 0.9 0.9 2"
    file = write_yolo(tmp_path / "pose", labels={"a": keypoints}, kpt_shape=[2, 3])
    assert boxes(load_dataset(file, "val"))["a.jpg"] == [[1, 10, 5, 30, 15]]


def test_boxes_are_cut_at_the_edge_and_repeated_rows_count_once(tmp_path: Path) -> None:
    file = write_yolo(
        tmp_path, labels={"a": "0 0.05 0.5 0.2 1.005\n\n0 0.05 0.5 0.2 1.005\n1 1 1 0.5 0.5\n"}
    )
    assert boxes(load_dataset(file, "val"))["a.jpg"] == [[0, 0, 0, 6, 20], [1, 30, 15, 40, 20]]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("0 0.5 0.5 0.5", "4 fields in line 2"),
        ("0 0.5 0.5 0.5 0.5 0.9", "6 fields in line 2"),
        ("0 0.5 0.5 0.5 0.5 0.9 0.1 0.2", "8 fields in line 2"),
        ("cat 0.5 0.5 0.5 0.5", "'cat 0.5 0.5 0.5 0.5' in line 2"),
        ("2 0.5 0.5 0.5 0.5", "class id from 0 to 1.*found 2 in line 2"),
        ("-1 0.5 0.5 0.5 0.5", "class id"),
        ("0.5 0.5 0.5 0.5 0.5", "class id"),
        ("nan 0.5 0.5 0.5 0.5", "class id"),
        ("0 0.5 0.5 0.5 1.02", "coordinates from 0 to 1.*in line 2"),
        ("0 20 10 5 5", "outside the image, '0 20 10 5 5', in line 2.*divide x and width"),
        ("0 0.5 -0.02 0.5 0.5", "coordinates from 0 to 1"),
        ("0 0.5 0.5 -0.001 0.5", "coordinates from 0 to 1"),
        ("0 0.5 0.5 nan 0.5", "coordinates from 0 to 1"),
        ("0 0.1 0.1 0.2 0.2 0.3 1.5", "coordinates from 0 to 1"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(tmp_path: Path, row: str, complaint: str) -> None:
    file = write_yolo(tmp_path, labels={"b": f"0 0.5 0.5 0.5 0.5\n{row}\n"})
    with pytest.raises(DatasetError, match=complaint) as caught:
        load_dataset(file, "val")
    assert "data.yaml" in str(caught.value) or str(tmp_path / "labels" / "val" / "b.txt") in str(
        caught.value
    )


def test_a_label_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = write_yolo(tmp_path)
    (tmp_path / "labels" / "val" / "c.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"c\.txt"):
        load_dataset(file, "val")


@pytest.mark.parametrize("labels", [{}, {"a": "", "b": "\n"}])
def test_a_split_without_any_object_is_an_error(tmp_path: Path, labels: dict[str, str]) -> None:
    with pytest.raises(DatasetError, match=r"labels for at least one.*labels/val/a\.txt"):
        load_dataset(write_yolo(tmp_path, labels=labels), "val")


def test_where_no_object_is_needed_an_empty_label_file_is_an_answer(tmp_path: Path) -> None:
    found = load_dataset(write_yolo(tmp_path / "answered", labels={"a": ""}), "val", objects=False)
    assert [len(image.truth) for image in found.images] == [0] * len(found.images)
    with pytest.raises(DatasetError, match="labels for at least one"):
        load_dataset(write_yolo(tmp_path / "not", labels={}), "val", objects=False)


def test_a_missing_split_lists_those_that_exist(tmp_path: Path) -> None:
    file = write_yolo(
        tmp_path / "yolo",
        train="images/gone",
        test="",
        minival=[],
        license="MIT",
        download="https://example.org",
    )
    with pytest.raises(DatasetError, match=r"the split test in .*found val;"):
        load_dataset(file, "test")
    folder = write_folder(tmp_path / "folder", "train/cat/a.jpg", "day/cat/a.jpg")
    with pytest.raises(DatasetError, match=r"the split val in .*found day, train;"):
        load_dataset(folder, "val")


def test_a_split_without_images_is_an_error(tmp_path: Path) -> None:
    file = write_yolo(tmp_path / "yolo", test="labels/val")
    (tmp_path / "folder" / "val" / "cat").mkdir(parents=True)
    for path, split in ((file, "test"), (tmp_path / "folder", "val")):
        with pytest.raises(DatasetError, match="expected images, found none"):
            load_dataset(path, split)


@pytest.mark.parametrize("content", [b"names: [", b"- 1\n- 2\n", b"", b"\xff\xfe\x00"])
def test_a_broken_data_yaml_is_an_error_of_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.yaml").write_bytes(content)
    with pytest.raises(DatasetError, match=r"data\.yaml") as caught:
        load_dataset(tmp_path, "val")
    assert "\n" not in str(caught.value)


def test_what_is_no_dataset_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name, complaint in {
        "missing": "nothing at",
        "notes.txt": "another kind",
        "empty": "neither in",
    }.items():
        with pytest.raises(DatasetError, match=complaint):
            load_dataset(tmp_path / name, "val")


def test_labelled_images_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, test="list.txt")
    (tmp_path / "list.txt").write_text("images/val/a.jpg\nimages/val/gone.jpg\n")
    with pytest.raises(DatasetError, match=r"gone\.jpg"):
        load_dataset(file, "test")
    (tmp_path / "images" / "val" / "a.jpg").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"a\.jpg"):
        load_dataset(file, "val")


def test_an_image_folder_takes_its_class_ids_from_the_training_split(tmp_path: Path) -> None:
    write_folder(
        tmp_path,
        "train/ant/a.jpg",
        "train/bee/a.jpg",
        "train/cat/a.jpg",
        "val/cat/x/b.PNG",
        "val/bee/a.jpg",
    )
    (tmp_path / "val" / "cat" / "notes.md").write_text("ignored")
    (tmp_path / ".cache").mkdir()
    dataset = load_dataset(tmp_path, "val")
    assert dataset.task == "classify"
    assert dataset.class_names == ("ant", "bee", "cat")
    assert [image.image_id for image in dataset.images] == ["bee/a.jpg", "cat/x/b.PNG"]
    truths = [image.truth for image in dataset.images]
    assert [truth.probs.tolist() for truth in truths if isinstance(truth, Classification)] == [
        [0, 1, 0],
        [0, 0, 1],
    ]


def test_an_image_folder_without_training_split_has_the_classes_of_the_split(
    tmp_path: Path,
) -> None:
    write_folder(tmp_path, "test/dog/a.jpg", "test/cat/a.jpg", "val/ant/a.jpg")
    assert load_dataset(tmp_path, "test").class_names == ("cat", "dog")


def test_an_image_folder_that_contradicts_itself_is_an_error(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", "train/cat/a.jpg", "val/dog/a.jpg")
    with pytest.raises(DatasetError, match="classes of the training split, found dog"):
        load_dataset(tmp_path / "a", "val")
    write_folder(tmp_path / "b", "train/cat/a.jpg", "train/stray.jpg")
    with pytest.raises(DatasetError, match=r"stray\.jpg"):
        load_dataset(tmp_path / "b", "train")


def test_the_hash_follows_content_and_not_place(tmp_path: Path) -> None:
    original = load_dataset(write_yolo(tmp_path / "one"), "val").sha256
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    copy = tmp_path / "two"
    assert load_dataset(copy, "val").sha256 == original
    changes = {
        "labels/val/a.txt": b"0 0.5 0.5 0.25 0.5\n",
        "labels/val/b.txt": b"0 0.5 0.5 0.25 0.5\n",
        "images/val/c.jpg": cv2.imencode(".jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[
            1
        ].tobytes(),
        "images/val/d.jpg": (copy / "images" / "val" / "a.jpg").read_bytes(),
        "data.yaml": yaml.safe_dump({"names": ["dog", "cat"], "val": "images/val"}).encode(),
    }
    seen = {original}
    for name, content in changes.items():
        (copy / name).write_bytes(content)
        seen.add(load_dataset(copy, "val").sha256)
    assert len(seen) == 1 + len(changes)


def test_the_hash_of_an_image_folder_follows_its_classes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "val/cat/a.jpg", "val/dog/b.jpg")
    original = load_dataset(folder, "val").sha256
    (folder / "val" / "dog" / "b.jpg").rename(folder / "val" / "cat" / "b.jpg")
    assert load_dataset(folder, "val").sha256 != original
