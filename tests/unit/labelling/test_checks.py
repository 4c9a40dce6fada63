"""Wrong labels are left out by name on arrival; those that a store already holds stop nothing."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.contracts import Detections
from components.datasets.dataset import load_dataset
from components.datasets.formats import read_labels
from components.datasets.labels import Label, LabelTask
from components.errors import DatasetError, IncompatibleError
from components.labelling import (
    KnownImage,
    LabelImport,
    LabelRecord,
    LabelStore,
    import_labels,
    label_status,
    write_labelled,
)

ABOUT = LabelTask("detect", ("cat", "dog"))
WHOLES = LabelTask("classify", ("cat", "dog"))
NAN = float("nan")
STORED = (300, 200)  # pixels of the file; EXIF turns some of them to 200 × 300


def picture(number: int, orientation: int = 1) -> bytes:
    """A JPEG that is like no other number's."""
    pixels = np.random.default_rng(number).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(STORED).save(buffer, "jpeg", exif=exif)
    return buffer.getvalue()


class Seen:
    """Images that a model has seen, and its book."""

    def __init__(self, folder: Path, count: int, orientation: int = 1) -> None:
        self.book = LabelStore(folder / "store", "parts")
        self.known = []
        for number in range(count):
            path = folder / "in" / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(picture(number, orientation))
            self.known.append(
                KnownImage(hashlib.sha256(path.read_bytes()).hexdigest(), path.name, str(path))
            )

    def take(self, path: Path, about: LabelTask = ABOUT, **options: bool) -> LabelImport:
        """Import labels, as `foveal labels import` does."""
        return import_labels(self.book, read_labels(path, about), self.known, about, **options)

    def boxes(self, number: int) -> list[list[float]]:
        """What the book says of an image, in pixels as a dataset has them."""
        data = write_labelled(self.book, Path(self.known[0].uri).parents[1] / "datasets", ABOUT)
        truths = {
            hashlib.sha256(image.path.read_bytes()).hexdigest(): image.truth
            for image in self.dataset(data)
        }
        truth = truths[self.known[number].sha256]
        assert isinstance(truth, Detections)
        return truth.xyxy.round(1).tolist()

    def dataset(self, data):
        """The images of a written dataset."""
        return load_dataset(data.data, data.split, objects=False).images


def coco(
    folder: Path, boxes: dict[int, list], *, images: int, size: tuple = STORED, **more
) -> Path:
    """Write a COCO file of so many images, some with boxes; categories are cat 1 and dog 2."""
    document = {
        "images": [
            {"id": k, "file_name": f"{k}.jpg", "width": size[0], "height": size[1]}
            for k in range(images)
        ],
        "annotations": [
            {"id": 100 * k + n, "image_id": k, "category_id": 1, "bbox": box, **more}
            for k, of in boxes.items()
            for n, box in enumerate(of)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    folder.mkdir(exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder / "annotations.json"


def label_studio(
    folder: Path, number: int, *regions: dict, at: str = "2026-11-03T10:00:00Z"
) -> Path:
    folder.mkdir(exist_ok=True)
    annotation = {"result": list(regions), "updated_at": at}
    (folder / "export.json").write_text(
        json.dumps([{"data": {"image": f"{number}.jpg"}, "annotations": [annotation]}])
    )
    return folder / "export.json"


def rectangle(
    x: float, y: float, width: float, height: float, size: tuple = STORED, **more
) -> dict:
    value = {"x": x, "y": y, "width": width, "height": height, "rectanglelabels": ["cat"]}
    return {
        "id": "r",
        "type": "rectanglelabels",
        "original_width": size[0],
        "original_height": size[1],
        "value": value,
    } | more


def turned(region: dict, angle: float) -> dict:
    return {**region, "value": {**region["value"], "rotation": angle}}


WRONG = {
    "not finite": [30, NAN, 50, 50],
    "infinite": [30, 30, float("inf"), 50],
    "negative": [30, 30, -5, 50],
    "outside": [400, 30, 50, 50],
    "larger than the image": [-100, 0, 500, 100],
    "no box": [1, 2, 3],
    "no numbers": ["a", 2, 3, 4],
    "of no measure": [10**400, 2, 3, 4],
}


@pytest.mark.parametrize("bad", WRONG.values(), ids=WRONG)
def test_a_wrong_box_is_refused_by_name_and_the_other_images_are_taken(tmp_path, bad):
    seen = Seen(tmp_path, 3)
    good = [30, 20, 60, 40]
    done = seen.take(coco(tmp_path / "out", {0: [good], 1: [good, bad], 2: [good]}, images=3))
    assert (done.added, len(done.refused)) == (2, 1)
    assert (
        done.refused[0].startswith("1.jpg: ")
        and "\n" not in done.refused[0]
        and len(done.refused[0]) < 200
    )
    assert seen.boxes(0) == [[30, 20, 90, 60]]


def test_small_overshoot_is_cut_nothing_is_left_out_and_repeats_count_once_each_with_a_word(
    tmp_path,
):
    seen = Seen(tmp_path, 2)
    boxes = {0: [[280, 20, 21, 40], [10, 10, 0, 40]], 1: [[30, 20, 60, 40], [30, 20, 60, 40]]}
    done = seen.take(coco(tmp_path / "out", boxes, images=2))
    assert (done.added, done.refused) == (2, ())
    assert done.remarks == (
        "1 box cut off at the image's edge: 0.jpg",
        "1 box without an area left out: 0.jpg",
        "1 box counted once for several: 1.jpg",
    )
    assert seen.boxes(0) == [[280, 20, 300, 60]]
    assert seen.boxes(1) == [[30, 20, 90, 60]]


def test_a_box_that_rounding_left_beyond_the_edge_is_no_remark(tmp_path):
    seen = Seen(tmp_path, 1)
    done = seen.take(coco(tmp_path / "out", {0: [[280, 20, 20.0004, 40]]}, images=1))
    assert (done.added, done.remarks) == (1, ())


def test_label_studios_wrong_rectangles_are_refused_by_name(tmp_path):
    seen = Seen(tmp_path, 1)
    for region in (
        rectangle(10, NAN, 10, 10),
        rectangle(10, 10, -3, 10),
        turned(rectangle(10, 10, NAN, 10), 30),
        turned(rectangle(10, 10, -3, 10), 30),
        rectangle(300, 10, 10, 10),
        rectangle(10, 10, 10, 10, image_rotation=90),
        rectangle(10, 10, 10, 10, size=(0, 200)),
        rectangle(10, 10, 10, 10, type="rectangle"),
    ):
        done = seen.take(label_studio(tmp_path / "out", 0, region))
        assert (done.added, len(done.refused)) == (0, 1), region
        assert done.refused[0].startswith("0.jpg: ")


def test_yolos_wrong_rows_are_refused_by_name_and_the_other_images_are_taken(tmp_path):
    seen = Seen(tmp_path, 3)
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "labels").mkdir()
    (out / "data.yaml").write_text("names: [cat, dog]\ntrain: images\n")
    for number, row in enumerate(("0 0.5 0.5 0.2 0.2", "0 0.5 nan 0.2 0.2", "7 0.5 0.5 0.2 0.2")):
        (out / "images" / f"{number}.jpg").write_bytes(picture(number))
        (out / "labels" / f"{number}.txt").write_text(row)
    done = seen.take(out)
    assert (done.added, len(done.refused)) == (1, 2)
    assert [line.partition(": ")[0].rpartition("/")[2] for line in done.refused] == [
        "1.jpg",
        "2.jpg",
    ]


def test_unknown_classes_are_refused_as_a_whole_with_their_number(tmp_path):
    seen = Seen(tmp_path, 2)
    file = coco(tmp_path / "out", {0: [[30, 20, 60, 40]], 1: [[30, 20, 60, 40]]}, images=2)
    file.write_text(file.read_text().replace('"cat"', '"cow"'))
    with pytest.raises(IncompatibleError, match=r"'cow' in the label of 0\.jpg and 1 more like it"):
        seen.take(file)
    assert seen.book.labels() == {}


def test_images_that_nobody_annotated_are_unlabelled_unless_somebody_says_so(tmp_path):
    seen = Seen(tmp_path, 12)
    file = coco(tmp_path / "out", {k: [[30, 20, 60, 40]] for k in range(3)}, images=12)
    done = seen.take(file)
    assert (done.added, done.empty, done.unlabelled) == (3, 0, 9)
    status = label_status(seen.book, ABOUT, minimum=5)
    assert (status.labelled, status.empty) == (3, 0)
    sure = seen.take(file, confirmed=True)
    assert (sure.added, sure.same, sure.empty, sure.unlabelled) == (9, 3, 9, 0)
    assert label_status(seen.book, ABOUT, minimum=5).empty == 9


def test_submitted_annotations_without_regions_and_empty_label_files_are_a_persons_word(tmp_path):
    seen = Seen(tmp_path, 1)
    done = seen.take(label_studio(tmp_path / "out", 0))
    assert (done.added, done.empty, done.unlabelled) == (1, 1, 0)


def test_an_image_that_comes_twice_with_different_labels_is_refused(tmp_path):
    seen = Seen(tmp_path, 1)
    for name in ("cat", "dog"):
        (tmp_path / "out" / "train" / name).mkdir(parents=True)
        (tmp_path / "out" / "train" / name / "0.jpg").write_bytes(picture(0))
    done = seen.take(tmp_path / "out", WHOLES)
    assert done.added == 0 and "different labels" in done.refused[0]
    (tmp_path / "out" / "train" / "dog" / "0.jpg").rename(
        tmp_path / "out" / "train" / "cat" / "1.jpg"
    )
    assert seen.take(tmp_path / "out", WHOLES).added == 1, "the same label twice is one label"


def test_an_older_annotation_does_not_overwrite_a_newer_one(tmp_path):
    seen = Seen(tmp_path, 1)
    seen.take(
        label_studio(tmp_path / "new", 0, rectangle(50, 50, 10, 10), at="2026-11-04T10:00:00Z")
    )
    old = label_studio(tmp_path / "old", 0, rectangle(10, 10, 10, 10), at="2026-11-03T10:00:00Z")
    done = seen.take(old)
    assert (done.changed, done.older) == (0, ("0.jpg",))
    assert seen.boxes(0) == [[150, 100, 180, 120]]
    unknown_time = coco(tmp_path / "coco", {0: [[30, 20, 60, 40]]}, images=1)
    assert seen.take(unknown_time).changed == 1, "a label of no known time is as new as its import"
    assert seen.take(old).older == ("0.jpg",)
    assert seen.boxes(0) == [[30, 20, 90, 60]]


def test_two_imports_at_once_leave_the_newer_annotation(tmp_path):
    seen, now = Seen(tmp_path, 1), datetime(2026, 11, 4, tzinfo=UTC)
    image = seen.known[0]
    for hours in (0, -5):  # written one after the other, as if neither had seen the other
        labels = (Label("cat", (0.1, 0.1, 0.2, 0.3 - hours / 100)),)
        seen.book.add(
            [
                LabelRecord(
                    image.sha256, image.image_id, ".jpg", labels, now + timedelta(hours=hours)
                )
            ]
        )
    assert seen.book.labels()[image.sha256].label.at == now


def test_a_store_with_wrong_labels_recovers_with_a_word(tmp_path):
    seen = Seen(tmp_path, 4)
    good = Label("cat", (0.1, 0.1, 0.3, 0.3))
    kept = {
        0: (good,),
        1: (good, Label("cat", (NAN, 0.1, 0.3, 0.3))),
        2: (Label("cat", (0.5, 0.1, 0.3, 0.3)),),
        3: (Label("cow", (0.1, 0.1, 0.3, 0.3)),),
    }
    for number, labels in kept.items():
        image = seen.known[number]
        label = LabelRecord(image.sha256, image.image_id, ".jpg", labels)
        seen.book.add_image(label, Path(image.uri).read_bytes())
        seen.book.add([label])
    data = write_labelled(seen.book, tmp_path / "datasets", ABOUT)
    assert (data.images, data.fresh, len(seen.dataset(data))) == (1, 1, 1)
    assert [line.partition(":")[0] for line in data.unusable] == ["1.jpg", "2.jpg", "3.jpg"]
    assert label_status(seen.book, ABOUT, minimum=5).unusable == data.unusable
    done = seen.take(coco(tmp_path / "out", {k: [[30, 20, 60, 40]] for k in range(4)}, images=4))
    assert (done.changed, done.same) == (3, 1)
    assert write_labelled(seen.book, tmp_path / "datasets", ABOUT).unusable == ()


def test_a_store_with_wrong_labels_alone_says_so(tmp_path):
    seen = Seen(tmp_path, 1)
    label = LabelRecord(seen.known[0].sha256, "0.jpg", ".jpg", (Label("cat", (NAN, 0, 1, 1)),))
    seen.book.add([label])
    with pytest.raises(DatasetError, match=r"none that can be used: 0\.jpg"):
        write_labelled(seen.book, tmp_path / "datasets", ABOUT)


# The upright image of orientation 6 is the stored one turned clockwise: (x, y) → (height − y, x).
TURNED = {
    3: [300 - 80, 200 - 70, 300 - 20, 200 - 30],
    6: [200 - 70, 20, 200 - 30, 80],
    8: [30, 300 - 80, 70, 300 - 20],
}


@pytest.mark.parametrize("orientation", [6, 8])
def test_boxes_that_were_made_on_stored_pixels_are_turned_as_exif_says(tmp_path, orientation):
    seen = Seen(tmp_path, 1, orientation)
    done = seen.take(coco(tmp_path / "out", {0: [[20, 30, 60, 40]]}, images=1, size=STORED))
    assert (done.added, done.turned) == (1, ("0.jpg",))
    assert seen.boxes(0) == [TURNED[orientation]]
    region = rectangle(100 * 20 / 300, 100 * 30 / 200, 20, 20, at="2026-12-03T10:00:00Z")
    again = seen.take(label_studio(tmp_path / "ls", 0, region))
    assert (again.turned, seen.boxes(0)) == (("0.jpg",), [TURNED[orientation]])


def test_where_sizes_do_not_tell_other_images_of_the_file_do_or_a_line_says_what_was_assumed(
    tmp_path,
):
    box = [20, 30, 60, 40]
    alone = Seen(tmp_path, 1, 3)
    done = alone.take(coco(tmp_path / "out", {0: [box]}, images=1))
    assert (done.turned, alone.boxes(0)) == ((), [[20, 30, 80, 70]])
    assert done.remarks == (
        "1 image that EXIF turns without a change of shape, taken as labelled upright: 0.jpg",
    )
    for size, other in ((STORED, ("0.jpg", "1.jpg")), (STORED[::-1], ())):
        folder = tmp_path / f"{size[0]} wide"
        folder.mkdir()
        seen = Seen(folder, 2, 3)
        path = folder / "in" / "1.jpg"
        path.write_bytes(picture(1, 6))
        seen.known[1] = KnownImage(
            hashlib.sha256(path.read_bytes()).hexdigest(), path.name, str(path)
        )
        file = coco(folder / "out", {0: [box], 1: [box]}, images=2)
        document = json.loads(file.read_text())
        document["images"][1] |= {"width": size[0], "height": size[1]}
        file.write_text(json.dumps(document))
        done = seen.take(file)
        assert (done.turned, done.remarks) == (other, ())
        assert seen.boxes(0) == [TURNED[3] if other else [20, 30, 80, 70]]


def test_boxes_of_the_upright_image_and_of_its_scaled_copies_stay(tmp_path):
    seen = Seen(tmp_path, 1, 6)
    for scale in (1, 2, 0.5):
        box = [side * scale for side in (30, 20, 60, 40)]
        size = (round(200 * scale), round(300 * scale))
        done = seen.take(coco(tmp_path / "out", {0: [box]}, images=1, size=size))
        assert (done.turned, done.refused, seen.boxes(0)) == ((), (), [[30, 20, 90, 60]])


@pytest.mark.parametrize(
    "size", [(640, 640), (0, 200), (10**400, 200), (NAN, 200), ("wide", 200), (None, None)]
)
def test_labels_of_an_image_of_another_shape_are_refused_in_one_line(tmp_path, size):
    seen = Seen(tmp_path, 1)
    done = seen.take(coco(tmp_path / "out", {0: [[30, 20, 60, 40]]}, images=1, size=size))
    assert (done.added, len(done.refused)) == (0, 1)
    assert len(done.refused[0]) < 200


def test_yolos_boxes_beside_a_copy_of_another_shape_are_refused(tmp_path):
    seen = Seen(tmp_path, 1)
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "labels").mkdir()
    (out / "data.yaml").write_text("names: [cat, dog]\ntrain: images\n")
    (out / "labels" / "0.txt").write_text("0 0.5 0.5 0.2 0.2")
    copy = Image.open(io.BytesIO(picture(0)))
    copy.resize((150, 100)).save(out / "images" / "0.jpg")
    assert seen.take(out).added == 1, "a smaller copy has the same shape"
    copy.resize((150, 150)).save(out / "images" / "0.jpg")
    (out / "labels" / "0.txt").write_text("0 0.5 0.5 0.3 0.2")
    assert "150 × 150" in seen.take(out).refused[0]


def test_boxes_that_cvat_turned_become_those_around_them(tmp_path):
    seen = Seen(tmp_path, 1)
    wrong = coco(tmp_path / "out", {0: [[100, 80, -6, 20]]}, images=1, attributes={"rotation": 30})
    assert "negative" in seen.take(wrong).refused[0]
    file = coco(
        tmp_path / "out",
        {0: [[100, 80, 60, 20]]},
        images=1,
        attributes={"rotation": 90.0, "occluded": False},
    )
    assert seen.take(file).added == 1
    assert seen.boxes(0) == [[120, 60, 140, 120]]


@pytest.mark.parametrize("twice", ["images", "categories"])
def test_ids_that_come_twice_are_refused(tmp_path, twice):
    seen = Seen(tmp_path, 2)
    file = coco(tmp_path / "out", {0: [[30, 20, 60, 40]]}, images=2)
    document = json.loads(file.read_text())
    document[twice][1]["id"] = document[twice][0]["id"]
    file.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match="1 repeated"):
        seen.take(file)


def test_a_label_is_kept_in_shares_whatever_was_put_right(tmp_path):
    seen = Seen(tmp_path, 1)
    seen.take(coco(tmp_path / "out", {0: [[-1, 20, 61, 40]]}, images=1))
    (booked,) = seen.book.labels().values()
    assert booked.label.labels == (
        replace(booked.label.labels[0], class_name="cat", box=(0.0, 0.1, 0.2, 0.3)),
    )
