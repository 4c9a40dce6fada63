"""Queues go out in three formats and return as the same labels, whatever the image names."""

from __future__ import annotations

import hashlib
import io
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.contracts import Detections
from components.datasets.dataset import load_dataset
from components.datasets.formats import LabelFormat, export_labels, read_labels
from components.datasets.labels import Found, Label, LabelTask, QueuedImage
from components.errors import ConfigError, DatasetError, FovealError
from components.images.reading import read_image

DETECT = LabelTask("detect", ("car", 'a "big" <dog> & Ä'))
CLASSIFY = LabelTask("classify", ("good", "bad one"))
NAMES = ("cam 1/frame.jpg", "cam 2/frame.jpg", "ночь/ä b.jpg", "a..b.jpg")
BOX = (0.1, 0.2, 0.5, 0.9)


def queued(folder: Path, name: str, number: int, prelabels: tuple[Label, ...]) -> QueuedImage:
    """An image of 40 × 20 pixels that EXIF turns upright, to 20 × 40."""
    rng = np.random.default_rng(number)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (20, 40, 3), np.uint8)).save(buffer, "jpeg", exif=exif)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    assert read_image(path).shape == (40, 20, 3)
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    return QueuedImage(name, str(path), sha256, 20, 40, "w", "parts/3", 0.9, 0.5, 0.4, prelabels)


@pytest.fixture
def boxes(tmp_path) -> list[QueuedImage]:
    labels = (Label("car", BOX, 0.8), Label(DETECT.class_names[1], (0.0, 0.0, 0.25, 1.0), 0.3))
    return [queued(tmp_path / "in", name, k, labels[: k % 3]) for k, name in enumerate(NAMES)]


@pytest.fixture
def wholes(tmp_path) -> list[QueuedImage]:
    return [
        queued(tmp_path / "in", name, k, (Label(CLASSIFY.class_names[k % 2], None, 0.6),))
        for k, name in enumerate(NAMES)
    ]


def by_hash(images: list[QueuedImage], found: tuple[Found, ...]) -> dict[str, Found]:
    """What was found of each image, by what tells whose it is: the hash, given or in the name."""
    of = {image.sha256[:16]: image.image_id for image in images}
    return {of[(label.sha256 or Path(label.name).name)[:16]]: label for label in found}


def assert_same(found: tuple[Label, ...] | None, expected: tuple[Label, ...]) -> None:
    assert found is not None
    assert [label.class_name for label in found] == [label.class_name for label in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.confidence is None
        assert (one.box is None) == (other.box is None)
        if one.box and other.box:
            assert one.box == pytest.approx(other.box, abs=1e-4)


@pytest.mark.parametrize("form", [LabelFormat.YOLO, LabelFormat.COCO])
@pytest.mark.parametrize("task", ["detect", "classify"])
def test_prelabels_come_back_as_they_went_out(boxes, wholes, tmp_path, form, task):
    images, about = (boxes, DETECT) if task == "detect" else (wholes, CLASSIFY)
    done = export_labels(images, tmp_path / "out", form, about)
    assert (len(done.images), done.gone) == (len(images), ())
    found = by_hash(images, read_labels(tmp_path / "out", about))
    assert found.keys() == {image.image_id for image in images}
    for image in images:
        label = found[image.image_id]
        if image.prelabels or form is LabelFormat.COCO:
            assert_same(label.labels, image.prelabels)
        else:
            assert label.labels is None, "no file of labels is no label"
        assert not label.stated
        assert label.file is not None
        assert hashlib.sha256(label.file.read_bytes()).hexdigest() == image.sha256


def test_yolo_boxes_are_those_of_the_upright_image(boxes, tmp_path):
    export_labels(boxes, tmp_path / "out", LabelFormat.YOLO, DETECT)
    dataset = load_dataset(tmp_path / "out", "train")
    truths = {image.image_id[:16]: image.truth for image in dataset.images}
    truth = truths[boxes[1].sha256[:16]]
    assert isinstance(truth, Detections)
    np.testing.assert_allclose(truth.xyxy, [[2, 8, 10, 36]], atol=1e-3)
    assert dataset.class_names == DETECT.class_names


def test_an_empty_file_says_that_nothing_is_there_and_no_file_says_nothing(boxes, tmp_path):
    export_labels(boxes, tmp_path / "out", LabelFormat.YOLO, DETECT)
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 2
    for image in boxes[:2]:
        (tmp_path / "out" / "labels" / image.name).with_suffix(".txt").write_text("")
    found = by_hash(boxes, read_labels(tmp_path / "out", DETECT))
    states = [
        (found[image.image_id].labels is not None, found[image.image_id].stated) for image in boxes
    ]
    assert states == [(True, True), (True, True), (True, False), (False, False)]


def test_coco_boxes_are_pixels_of_the_upright_image(boxes, tmp_path):
    export_labels(boxes, tmp_path / "out", LabelFormat.COCO, DETECT)
    document = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [(image["width"], image["height"]) for image in document["images"]] == [(20, 40)] * 4
    assert document["annotations"][0]["bbox"] == pytest.approx([2, 8, 8, 28])


def annotated(tasks: list[dict], **more) -> list[dict]:
    """What Label Studio exports once a person has accepted every prediction."""
    for task in tasks:
        task["annotations"] = [
            {
                "result": task["predictions"][0]["result"],
                "was_cancelled": False,
                "completed_by": {"email": "a@b"},
                **more,
            }
        ]
    return tasks


@pytest.mark.parametrize("task", ["detect", "classify"])
def test_what_people_accept_in_label_studio_comes_back(boxes, wholes, tmp_path, task):
    images, about = (boxes, DETECT) if task == "detect" else (wholes, CLASSIFY)
    export_labels(images, tmp_path / "out", LabelFormat.LABEL_STUDIO, about)
    file = tmp_path / "out" / "tasks.json"
    tasks = json.loads(file.read_text())
    place = tasks[0]["data"]["image"].removeprefix("/data/local-files/?d=")
    assert hashlib.sha256((tmp_path / "out" / place).read_bytes()).hexdigest() == images[0].sha256
    assert {prediction["model_version"] for one in tasks for prediction in one["predictions"]} == {
        "parts/3"
    }
    file.write_text(json.dumps(annotated(tasks, updated_at="2026-11-03T10:00:00.5Z")))
    found = by_hash(images, read_labels(tmp_path / "out", about))
    for image in images:
        label = found[image.image_id]
        assert_same(label.labels, image.prelabels)
        assert (label.stated, label.who, label.at.isoformat()) == (
            True,
            "a@b",
            "2026-11-03T10:00:00.500000+00:00",
        )


def test_the_labelling_configuration_offers_the_models_classes(boxes, wholes, tmp_path):
    for name, images, about, tag in (
        ("d", boxes, DETECT, "Label"),
        ("c", wholes, CLASSIFY, "Choice"),
    ):
        export_labels(images, tmp_path / name, LabelFormat.LABEL_STUDIO, about)
        tree = ElementTree.parse(tmp_path / name / "labels.xml")  # noqa: S314
        assert [entry.attrib["value"] for entry in tree.iter(tag)] == list(about.class_names)
        assert [image.attrib["value"] for image in tree.iter("Image")] == ["$image"]


def test_skipped_tasks_are_no_labels_empty_ones_are_and_the_latest_annotation_counts(tmp_path):
    def rectangle(x: float) -> dict:
        value = {
            "x": x,
            "y": 0,
            "width": 10,
            "height": 10,
            "rotation": 0,
            "rectanglelabels": ["car"],
        }
        return {
            "type": "rectanglelabels",
            "original_width": 200,
            "original_height": 100,
            "value": value,
        }

    def task(name: str, *annotations: dict) -> dict:
        return {"data": {"image": f"/data/upload/1/{name}"}, "annotations": list(annotations)}

    tasks = [
        task("unseen.jpg"),
        task("skipped.jpg", {"was_cancelled": True, "result": [rectangle(1)]}),
        task("empty.jpg", {"result": []}),
        task(
            "twice.jpg",
            {"result": [rectangle(50)], "updated_at": "2026-11-03T10:00:00Z", "completed_by": 7},
            {"result": [rectangle(20)], "updated_at": "2026-11-02T10:00:00Z", "completed_by": 8},
        ),
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    unseen, skipped, empty, twice = read_labels(tmp_path, DETECT)
    assert (unseen.labels, skipped.labels, empty.labels) == (None, None, ())
    assert_same(twice.labels, (Label("car", (0.5, 0.0, 0.6, 0.1)),))
    assert (twice.who, twice.name) == ("7", "/data/upload/1/twice.jpg")


def test_a_turned_rectangle_becomes_the_box_around_it(tmp_path):
    value = {
        "x": 50,
        "y": 20,
        "width": 10,
        "height": 40,
        "rotation": 90,
        "rectanglelabels": ["car"],
    }
    region = {
        "type": "rectanglelabels",
        "original_width": 200,
        "original_height": 100,
        "value": value,
    }
    task = {"data": {"image": "x.jpg"}, "annotations": [{"result": [region]}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    (found,) = read_labels(tmp_path, DETECT)
    assert_same(found.labels, (Label("car", (0.3, 0.2, 0.5, 0.4)),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "labels as JSON"),
        ("[3]", "the JSON export of Label Studio"),
        ('[{"data": {"image": "x.jpg"}}]', "choose Export, then JSON"),
        ('{"images": []}', "COCO's JSON"),
        (
            '[{"data": {"image": "x"}, "annotations": [{"result": [{"type": "brushlabels", '
            '"value": {}}]}]}]',
            "rectangles or a single choice",
        ),
    ],
)
def test_what_is_no_export_is_one_clear_line(tmp_path, content, message):
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(DatasetError, match=message) as caught:
        read_labels(tmp_path, DETECT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", list(LabelFormat))
def test_images_that_are_gone_or_changed_are_named_and_left_out(boxes, tmp_path, form):
    Path(boxes[0].uri).unlink()
    Path(boxes[1].uri).write_bytes(Path(boxes[2].uri).read_bytes())
    done = export_labels(boxes, tmp_path / "out", form, DETECT)
    assert done.images == tuple(image.sha256 for image in boxes[2:])
    assert [line.partition(":")[0] for line in done.gone] == list(NAMES[:2])
    for image in boxes[2:]:
        Path(image.uri).unlink()
    with pytest.raises(DatasetError, match="none of 4"):
        export_labels(boxes, tmp_path / "empty", form, DETECT)
    assert not (tmp_path / "empty").exists()


def test_a_folder_that_holds_something_is_left_alone(boxes, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("ten years")
    with pytest.raises(ConfigError, match="a new or empty folder"):
        export_labels(boxes, tmp_path / "out", LabelFormat.YOLO, DETECT)


def test_what_label_studio_fetches_itself_is_named_by_its_url(boxes, tmp_path):
    remote = [replace(image, uri=f"https://host/{k}.jpg") for k, image in enumerate(boxes)]
    export_labels(remote, tmp_path / "out", LabelFormat.LABEL_STUDIO, DETECT)
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [image.uri for image in remote]


def test_a_class_that_cannot_be_a_folder_is_refused(wholes, tmp_path):
    with pytest.raises(FovealError, match="class names that can be folders"):
        export_labels(
            wholes, tmp_path / "out", LabelFormat.YOLO, LabelTask("classify", ("good", "bad/one"))
        )
