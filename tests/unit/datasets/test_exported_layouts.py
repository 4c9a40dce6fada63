"""Datasets and labels as the tools of the field export them, with what else is in their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from components.contracts import Detections
from components.datasets.dataset import load_dataset
from components.datasets.formats import read_labels
from components.datasets.labels import LabelTask
from components.errors import DatasetError

ABOUT = LabelTask("detect", ("cat", "dog"))
ROW = "1 0.5 0.5 0.25 0.5\n"


def write(root: Path, *images: str, label: str = ROW) -> None:
    """Write images, and a label for each where the tools put it."""
    for name in images:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20), (90, 80, 70)).save(path)
        labels = Path(*["labels" if part == "images" else part for part in Path(name).parts])
        target = (root / labels).with_suffix(".txt")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(label)


def describe(root: Path, content: dict | str, name: str = "data.yaml") -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(
        content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    )


def roboflow(root: Path) -> None:
    """Its three splits are named, `test` was not exported."""
    write(root, "train/images/a_jpg.rf.0a1b.jpg", "valid/images/b_jpg.rf.2c3d.jpg")
    about = {
        "workspace": "me",
        "project": "pets",
        "version": 3,
        "license": "CC BY 4.0",
        "url": "https://example.org",
    }
    places = {"train": "../train/images", "val": "../valid/images", "test": "../test/images"}
    describe(root, {**places, "nc": 2, "names": ["cat", "dog"], "roboflow": about})


def ultralytics(root: Path) -> None:
    """As their own dataset files are, written on another machine, with what would be downloaded."""
    write(root, "images/train/a.jpg", "images/val/b.jpg")
    content = {
        "path": "../datasets/pets",
        "train": "images/train",
        "val": "images/val",
        "test": None,
    }
    more = {
        "author": "me",
        "license": "AGPL-3.0",
        "download": "https://example.org/pets.zip",
        "channels": 3,
    }
    describe(root, {**content, "names": {0: "cat", 1: "dog"}, **more})


def fiftyone(root: Path) -> None:
    """Its YOLOv5 export: `dataset.yaml` with the folder that it was exported to."""
    write(root, "images/train/a.jpg", "images/val/b.jpg")
    content = {"path": "/somewhere/else/export", "train": "./images/train/", "val": "./images/val/"}
    describe(root, {"names": {0: "cat", 1: "dog"}, **content}, "dataset.yaml")


def cvat(root: Path) -> None:
    """Its Ultralytics YOLO export: lists of images."""
    write(root, "images/train/a.jpg", "images/val/b.jpg")
    for split, name in (("train", "a"), ("val", "b")):
        (root / f"{split}.txt").write_text(f"data/images/{split}/{name}.jpg\n")
    describe(
        root, {"path": ".", "train": "train.txt", "val": "val.txt", "names": {0: "cat", 1: "dog"}}
    )


def darknet(root: Path) -> None:
    """CVAT's YOLO 1.1."""
    write(root, "obj_train_data/a.jpg", "obj_valid_data/b.jpg")
    for split, name in (("train", "a"), ("valid", "b")):
        (root / f"{split}.txt").write_text(f"data/obj_{split}_data/{name}.jpg\n")
    (root / "obj.names").write_text("cat\ndog\n")
    lines = (
        "classes = 2",
        "train = data/train.txt",
        "valid = data/valid.txt",
        "names = data/obj.names",
        "backup = backup/",
    )
    (root / "obj.data").write_text("\n".join(lines))


SPLIT = [roboflow, ultralytics, fiftyone, cvat, darknet]


@pytest.mark.parametrize("export", SPLIT)
def test_every_split_that_is_there_is_read_as_a_dataset_and_as_labels(tmp_path, export):
    export(tmp_path)
    for split in ("train", "val"):
        (image,) = load_dataset(tmp_path, split).images
        assert isinstance(image.truth, Detections)
        assert image.truth.xyxy.tolist() == [
            [15, 5, 25, 15]
        ] and image.truth.class_ids.tolist() == [1]
    found = read_labels(tmp_path, ABOUT)
    assert sorted(Path(one.name).name[0] for one in found) == ["a", "b"]
    assert [[label.class_name for label in one.labels or ()] for one in found] == [["dog"], ["dog"]]
    assert all(one.file and not one.problem for one in found)


def test_a_download_is_passed_over_with_a_word(tmp_path):
    ultralytics(tmp_path)
    assert "download is passed over" in load_dataset(tmp_path, "val").remarks
    (tmp_path / "images" / "val").rename(tmp_path / "gone")
    with pytest.raises(
        DatasetError, match=r"nothing at .*images/val.*download is passed over, fetch it yourself"
    ):
        load_dataset(tmp_path, "val")


def test_a_split_that_was_not_exported_is_missed_only_where_it_is_asked_for(tmp_path):
    roboflow(tmp_path)
    with pytest.raises(DatasetError, match=r"nothing at .*test/images.*correct test or path"):
        load_dataset(tmp_path, "test")
    for name in ("license", "roboflow", "nc"):
        with pytest.raises(DatasetError, match="found train, val"):
            load_dataset(tmp_path, name)


@pytest.mark.parametrize("place", ["images", "."])
def test_a_classes_file_names_the_classes_where_there_are_no_splits(tmp_path, place):
    """Label Studio's YOLO export, and labelImg's one folder."""
    folder = "images/" if place == "images" else ""
    write(tmp_path, f"{folder}a.jpg", f"{folder}b.jpg")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "notes.json").write_text(
        json.dumps({"categories": [{"id": 0, "name": "cat"}], "info": {}})
    )
    assert [one.labels[0].class_name for one in read_labels(tmp_path, ABOUT) if one.labels] == [
        "dog",
        "dog",
    ]
    assert len(load_dataset(tmp_path, place).images) == 2
    with pytest.raises(DatasetError, match="the split val"):
        load_dataset(tmp_path, "val")


def test_label_studios_labels_without_images_are_those_of_images_of_their_name(tmp_path):
    write(tmp_path, "images/3f2a-cam.1.jpg")
    (tmp_path / "images" / "3f2a-cam.1.jpg").unlink()
    (tmp_path / "images").rmdir()
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "notes.json").write_text("{}")
    (found,) = read_labels(tmp_path, ABOUT)
    assert (
        Path(found.name).name == "3f2a-cam.1"
        and found.labels
        and found.labels[0].class_name == "dog"
    )


def test_an_image_folder_with_a_list_of_its_classes_stays_one(tmp_path):
    write(tmp_path, "train/cat/a.jpg", "train/dog/b.jpg")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert load_dataset(tmp_path, "train").task == "classify"


@pytest.mark.parametrize(
    ("file", "images", "name"),
    [
        ("result.json", "images", "images/a.jpg"),  # Label Studio
        ("train/_annotations.coco.json", "train", "a.jpg"),  # Roboflow
        ("annotations/instances_default.json", "images/default", "a.jpg"),  # CVAT
        ("labels.json", "data", "a.jpg"),  # FiftyOne
    ],
)
def test_cocos_file_and_images_are_found_where_tools_put_them(tmp_path, file, images, name):
    write(tmp_path, f"{images}/a.jpg")
    document = {
        "images": [{"id": 7, "file_name": name, "width": 40, "height": 20}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [15, 5, 10, 10]}],
        "categories": [
            {"id": 0, "name": "pets", "supercategory": "none"},
            {"id": 3, "name": "dog"},
        ],
    }
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(json.dumps(document))
    (found,) = read_labels(tmp_path, ABOUT)
    assert found.file == tmp_path / images / "a.jpg"
    assert found.labels is not None and found.labels[0].box == pytest.approx(
        (0.375, 0.25, 0.625, 0.75)
    )


def test_cocos_files_of_all_splits_are_read_and_no_image_outside_is_opened(tmp_path):
    for split in ("train", "valid"):
        write(tmp_path, f"{split}/{split}.jpg")
        document = {
            "images": [
                {"id": 0, "file_name": f"../{split}/{split}.jpg", "width": 40, "height": 20}
            ],
            "annotations": [],
            "categories": [],
        }
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(document))
    assert [(one.name, one.file) for one in read_labels(tmp_path, ABOUT)] == [
        ("../train/train.jpg", None),
        ("../valid/valid.jpg", None),
    ]


@pytest.mark.parametrize(
    ("wrong", "split", "meant"),
    [
        ({"nmaes": ["cat", "dog"], "val": "images/val"}, "val", "is nmaes meant for names?"),
        (
            {"names": ["cat", "dog"], "trainn": "images/train", "val": "images/val"},
            "train",
            "is trainn meant for train?",
        ),
        ({"names": ["cat", "dog"], "vall": "images/val"}, "val", "is vall meant for val?"),
        ({"names": ["cat", "dog"], "val": "val", "pth": "images"}, "val", "is pth meant for path?"),
    ],
)
def test_a_known_key_that_is_misspelt_is_named(tmp_path, wrong, split, meant):
    write(tmp_path, "images/train/a.jpg", "images/val/b.jpg")
    describe(tmp_path, wrong)
    with pytest.raises(DatasetError) as caught:
        load_dataset(tmp_path, split)
    assert meant in str(caught.value)


def test_the_number_of_classes_names_them_or_must_agree(tmp_path):
    write(tmp_path, "images/val/b.jpg")
    describe(tmp_path, {"nc": 2, "val": "images/val"})
    assert load_dataset(tmp_path, "val").class_names == ("class_0", "class_1")
    describe(tmp_path, {"nc": 3, "names": ["cat", "dog"], "val": "images/val"})
    with pytest.raises(DatasetError, match="3 names, as nc says, found 2"):
        load_dataset(tmp_path, "val")


def test_how_many_images_are_labelled_empty_and_without_a_label_is_said(tmp_path):
    write(tmp_path, *(f"images/val/{k}.jpg" for k in range(6)))
    for number in range(3):
        (tmp_path / "labels" / "val" / f"{number}.txt").unlink()
    (tmp_path / "labels" / "val" / "3.txt").write_text("")
    describe(tmp_path, {"names": ["cat", "dog"], "val": "images/val"})
    whole, labelled = (
        load_dataset(tmp_path, "val"),
        load_dataset(tmp_path, "val", only_labelled=True),
    )
    said = "images: 6, 2 with objects, 1 labelled as empty, 3 without a label and "
    assert (len(whole.images), whole.remarks) == (6, (said + "taken to show nothing",))
    assert (len(labelled.images), labelled.remarks) == (3, (said + "left out",))


@pytest.mark.parametrize("export", [cvat, darknet])
def test_an_empty_file_of_cvat_is_nobodys_word(tmp_path, export):
    """It writes one for every image that nobody annotated, too."""
    export(tmp_path)
    for split, folder in (("val", "images/val"), ("valid", "obj_valid_data")):
        if (listed := tmp_path / f"{split}.txt").is_file():
            write(tmp_path, f"{folder}/nothing.jpg", label="")
            listed.write_text(f"{listed.read_text()}data/{folder}/nothing.jpg\n")
    found = {Path(one.name).stem: one for one in read_labels(tmp_path, ABOUT)}
    assert (found["nothing"].labels, found["nothing"].stated) == ((), False), (
        "only --confirmed takes it as empty"
    )
    said = "images: 2, 1 with objects, 0 labelled as empty, 1 without a label and "
    assert load_dataset(tmp_path, "val").remarks == (said + "taken to show nothing",)
    labelled = load_dataset(tmp_path, "val", only_labelled=True)
    assert (len(labelled.images), labelled.remarks) == (1, (said + "left out",))


def test_every_wrong_label_file_of_a_split_is_counted_in_one_line(tmp_path):
    write(tmp_path, *(f"images/val/{k}.jpg" for k in range(4)))
    for number in range(3):
        (tmp_path / "labels" / "val" / f"{number}.txt").write_text("0 0.5 0.5 inf 0.5\n")
    describe(tmp_path, {"names": ["cat", "dog"], "val": "images/val"})
    with pytest.raises(DatasetError, match=r"line 1 of .*0\.txt.*; wrong label files: 3"):
        load_dataset(tmp_path, "val")
    some = load_dataset(tmp_path, "val", only_labelled=True)
    assert [image.image_id for image in some.images] == ["3.jpg"]
    counts, left_out = some.remarks
    assert counts == "images: 1, 1 with objects, 0 labelled as empty"
    assert left_out.startswith("3 label files left out: expected") and "0.txt" in left_out


def test_what_was_put_right_in_a_split_is_said(tmp_path):
    write(tmp_path, "images/val/a.jpg")
    rows = ("0 0.9 0.5 0.4 0.5", "0 0.5 0.5 0 0.5", "1 0.5 0.5 0.25 0.5", "1 0.5 0.5 0.25 0.5")
    (tmp_path / "labels" / "val" / "a.txt").write_text("\n".join(rows))
    describe(tmp_path, {"names": ["cat", "dog"], "val": "images/val"})
    found = load_dataset(tmp_path, "val")
    assert found.remarks[1:] == (
        "1 box cut off at the image's edge: a.jpg",
        "1 box without an area left out: a.jpg",
        "1 box counted once for several: a.jpg",
    )
    (image,) = found.images
    assert len(image.truth) == 2
