"""Returned labels: whose they are, that a person said so, that they stay, how many are missing."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from components.contracts import Classification, Detections
from components.datasets.dataset import load_dataset
from components.datasets.formats import LabelFormat, export_labels, read_labels
from components.datasets.labels import Found, Label, LabelTask, QueuedImage
from components.errors import ConfigError, DatasetError, IncompatibleError
from components.labelling import (
    KnownImage,
    LabelStore,
    import_labels,
    label_status,
    pseudo_labels,
    write_labelled,
)

ABOUT = LabelTask("detect", ("cat", "dog"))
WHOLES = LabelTask("classify", ("cat", "dog"))
BOX = (0.25, 0.25, 0.75, 0.5)
CAT = (Label("cat", BOX, 0.9),)
START = datetime(2026, 11, 1, tzinfo=UTC)


class Clock:
    """A second later at each look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture(params=["folder", "memory"])
def book(request, tmp_path) -> LabelStore:
    root = tmp_path / "store" if request.param == "folder" else f"memory://{uuid.uuid4().hex}"
    return LabelStore(root, "parts", clock=Clock())


@pytest.fixture
def queue(tmp_path) -> list[QueuedImage]:
    """Six images; the champion sees a cat in each but the last."""
    return [queued(tmp_path / "in", k, CAT if k < 5 else ()) for k in range(6)]


def queued(folder: Path, number: int, prelabels: tuple[Label, ...]) -> QueuedImage:
    path = folder / f"cam {number % 2}" / f"ночь {number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (20, 40, 3)).astype(np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    image_id = path.relative_to(folder).as_posix()
    return QueuedImage(
        image_id, str(path), sha256, 40, 20, "w", "parts/3", 0.9, 0.5, 0.4, prelabels
    )


def said(image: QueuedImage, *labels: Label, **more) -> Found:
    return Found(image.image_id, labels, **{"stated": True, **more})


def test_an_image_is_queued_once_and_waits_until_it_is_labelled(book, queue):
    assert (book.enqueue(queue[:4]), book.enqueue(queue[2:])) == (4, 2)
    assert book.queue() == tuple(queue)
    import_labels(book, [said(queue[1])], (), ABOUT)
    assert book.waiting() == (queue[0], *queue[2:])


def test_labels_are_kept_with_who_when_and_the_image_itself(book, queue):
    book.enqueue(queue)
    when = datetime(2026, 10, 30, 12, tzinfo=UTC)
    done = import_labels(
        book, [said(queue[0], Label("dog", BOX), at=when, who="ann"), said(queue[5])], (), ABOUT
    )
    assert (done.added, done.changed, done.unknown) == (2, 0, ())
    Path(queue[0].uri).unlink()
    booked = book.labels()[queue[0].sha256]
    assert (booked.label.labels, booked.label.at, booked.label.who) == (
        (Label("dog", BOX),),
        when,
        "ann",
    )
    assert hashlib.sha256(book.image(booked.label)).hexdigest() == queue[0].sha256
    assert book.labels()[queue[5].sha256].label.labels == (), "that nothing is there is a label"


def test_the_later_label_of_an_image_wins_and_an_equal_one_changes_nothing(book, queue):
    book.enqueue(queue)
    import_labels(book, [said(queue[0], Label("dog", BOX))], (), ABOUT)
    first = book.labels()[queue[0].sha256]
    again = import_labels(book, [said(queue[0], Label("dog", BOX))], (), ABOUT)
    assert (again.added, again.changed, again.same) == (0, 0, 1)
    assert book.labels()[queue[0].sha256] == first
    later = import_labels(book, [said(queue[0], Label("cat", BOX))], (), ABOUT)
    assert (later.added, later.changed) == (0, 1)
    booked = book.labels()[queue[0].sha256]
    assert booked.label.labels == (Label("cat", BOX),)
    assert booked.first == first.first < booked.last


def test_of_repeated_labels_in_one_import_the_latest_counts(book, queue):
    book.enqueue(queue)
    early, late = (datetime(2026, 10, day, tzinfo=UTC) for day in (1, 2))
    labels = [
        said(queue[0], Label("dog", BOX), at=late),
        said(queue[0], Label("cat", BOX), at=early),
    ]
    done = import_labels(book, labels, (), ABOUT)
    assert (done.added, done.repeated) == (1, (queue[0].image_id,))
    assert book.labels()[queue[0].sha256].label.labels == (Label("dog", BOX),)


@pytest.mark.parametrize("form", [LabelFormat.YOLO, LabelFormat.COCO])
def test_prelabels_that_were_left_alone_count_only_when_somebody_says_so(
    book, queue, tmp_path, form
):
    book.enqueue(queue)
    export_labels(queue, tmp_path / "out", form, ABOUT)
    if form is LabelFormat.YOLO:  # a person moves one box and says that another image shows nothing
        (tmp_path / "out" / "labels" / queue[0].name).with_suffix(".txt").write_text(
            "0 0.5 0.5 0.3 0.3\n"
        )
        (tmp_path / "out" / "labels" / queue[5].name).with_suffix(".txt").write_text("")
    found = read_labels(tmp_path / "out", ABOUT)
    edited = 2 if form is LabelFormat.YOLO else 0
    done = import_labels(book, found, (), ABOUT)
    # whether the image without annotations is empty
    nobody_said = 1 if form is LabelFormat.COCO else 0
    assert (done.added, len(done.unconfirmed), done.unlabelled) == (
        edited,
        6 - edited - nobody_said,
        nobody_said,
    )
    sure = import_labels(book, found, (), ABOUT, confirmed=True)
    assert (sure.added, sure.same, sure.unconfirmed) == (6 - edited, edited, ())
    assert book.waiting() == ()


def test_an_image_folder_of_classes_comes_back(book, queue, tmp_path):
    queue = [queued(tmp_path / "in", k, (Label("cat", None, 0.5),)) for k in range(4)]
    book.enqueue(queue)
    out = export_labels(queue, tmp_path / "out", LabelFormat.YOLO, WHOLES).folder
    (out / "train" / "cat" / queue[1].name).rename(out / "train" / "dog" / queue[1].name)
    done = import_labels(book, read_labels(out, WHOLES), (), WHOLES)
    assert (done.added, len(done.unconfirmed)) == (1, 3)
    data = write_labelled(book, tmp_path / "datasets", WHOLES)
    (image,) = load_dataset(data.data, data.split).images
    assert isinstance(image.truth, Classification)
    assert hashlib.sha256(image.path.read_bytes()).hexdigest() == queue[1].sha256
    assert image.path.parent.name == "dog"


def test_labels_of_images_that_were_not_queued_are_found_by_content_or_name(book, queue, tmp_path):
    known = [KnownImage(image.sha256, image.image_id, image.uri) for image in queue]
    copy = tmp_path / "renamed.png"
    copy.write_bytes(Path(queue[0].uri).read_bytes())
    labels = [
        Found("whatever.png", (Label("cat", BOX),), file=copy),
        Found(f"/data/labels/{queue[1].image_id}", (Label("dog", BOX),)),
        Found(f"12ab34cd-{queue[2].name}.rf.0123.jpg", (Label("dog", BOX),)),
        Found("nobody.png", (Label("dog", BOX),)),
    ]
    done = import_labels(book, labels, known, ABOUT)
    assert (done.added, done.unknown) == (3, ("nobody.png",))
    assert set(book.labels()) == {image.sha256 for image in queue[:3]}


def test_an_import_of_unknown_images_alone_is_an_error_that_names_them(book, queue):
    book.enqueue(queue)
    with pytest.raises(DatasetError, match=r"nobody\.png"):
        import_labels(book, [Found("nobody.png", ())], (), ABOUT)
    with pytest.raises(DatasetError, match="no labels"):
        import_labels(book, [], (), ABOUT)


def test_a_name_that_fits_two_images_is_an_error_and_nothing_is_kept(book, queue):
    twins = [KnownImage(f"{k:064x}", f"cam {k}/7.jpg", "") for k in range(2)]
    with pytest.raises(DatasetError, match=r"cam 0/7\.jpg, cam 1/7\.jpg"):
        import_labels(book, [Found("7.jpg", CAT)], twins, ABOUT)
    assert book.labels() == {}


def test_an_image_that_is_gone_is_named_in_one_line_and_the_others_are_kept(book, queue):
    book.enqueue(queue)
    Path(queue[0].uri).unlink()
    Path(queue[1].uri).write_bytes(b"another picture")
    done = import_labels(book, [said(image, Label("dog", BOX)) for image in queue[:3]], (), ABOUT)
    assert done.added == 1 and set(book.labels()) == {queue[2].sha256}
    assert [line.partition(":")[0] for line in done.gone] == [image.image_id for image in queue[:2]]
    assert all("\n" not in line for line in done.gone)


def test_skipped_images_wait_on(book, queue):
    book.enqueue(queue)
    done = import_labels(book, [Found(queue[0].image_id, None), said(queue[1], *CAT)], (), ABOUT)
    assert (done.added, done.unlabelled) == (1, 1)
    assert queue[0] in book.waiting()


@pytest.mark.parametrize(
    ("about", "labels", "message"),
    [
        (ABOUT, (Label("cow", BOX),), "cat, dog, found 'cow'"),
        (ABOUT, (Label("cat"),), "boxes, as the model is a detector"),
        (WHOLES, (), "one class for each image, found 0"),
        (WHOLES, (Label("cat"), Label("dog")), "one class for each image, found 2"),
    ],
)
def test_labels_that_the_model_cannot_learn_are_refused_before_anything_is_kept(
    book, queue, about, labels, message
):
    book.enqueue(queue)
    with pytest.raises(IncompatibleError, match=message):
        import_labels(book, [said(queue[1], *labels), said(queue[0], *CAT)], (), about)
    assert book.labels() == {}


def test_labels_become_a_dataset_in_pixels_that_is_made_once(book, queue, tmp_path):
    book.enqueue(queue)
    with pytest.raises(DatasetError, match="labelled images"):
        write_labelled(book, tmp_path / "datasets", ABOUT)
    import_labels(book, [said(queue[3], Label("dog", BOX)), said(queue[5])], (), ABOUT)
    import_labels(book, [said(queue[0], *CAT)], (), ABOUT)
    done = write_labelled(book, tmp_path / "datasets", ABOUT)
    dataset = load_dataset(done.data, done.split)
    assert (done.images, done.fresh, dataset.class_names) == (3, 3, ABOUT.class_names)
    order = [queue[k].sha256 for k in (3, 5, 0)]
    assert [
        hashlib.sha256(image.path.read_bytes()).hexdigest() for image in dataset.images
    ] == order
    dog, nothing, _ = (image.truth for image in dataset.images)
    assert isinstance(dog, Detections) and isinstance(nothing, Detections)
    np.testing.assert_allclose(dog.xyxy, [[10, 5, 30, 10]], atol=1e-3)
    assert (dog.class_ids.tolist(), len(nothing)) == ([1], 0)
    assert write_labelled(book, tmp_path / "datasets", ABOUT) == done
    assert len(list((tmp_path / "datasets").iterdir())) == 1


def test_the_status_counts_from_the_last_retraining_on(book, queue):
    book.enqueue(queue)
    book.note_export([image.sha256 for image in queue[:4]])
    import_labels(book, [said(queue[0], *CAT), said(queue[1], Label("dog", BOX), *CAT)], (), ABOUT)
    status = label_status(book, ABOUT, minimum=5)
    assert (status.queued, status.exported, status.waiting, status.labelled) == (6, 4, 4, 2)
    assert (status.fresh, status.missing, dict(status.classes)) == (2, 3, {"cat": 2, "dog": 1})
    read_at = max(booked.last for booked in book.labels().values())
    for _ in range(2):
        book.mark_learnt("event-1", read_at)
    import_labels(book, [said(queue[2], *CAT), said(queue[0], Label("dog", BOX))], (), ABOUT)
    book.mark_learnt("event-1", max(booked.last for booked in book.labels().values()))
    status = label_status(book, ABOUT, minimum=5)
    assert (status.labelled, status.fresh, status.missing, dict(status.classes)) == (
        3,
        2,
        3,
        {"cat": 1, "dog": 1},
    )
    assert label_status(book, ABOUT, minimum=1).missing == 0


def test_labels_that_come_while_others_are_learnt_from_stay_fresh(book, queue):
    book.enqueue(queue)
    import_labels(book, [said(queue[0], *CAT)], (), ABOUT)
    read_at = max(booked.last for booked in book.labels().values())
    import_labels(book, [said(queue[1], *CAT)], (), ABOUT)
    book.mark_learnt("event-1", read_at)
    assert label_status(book, ABOUT, minimum=5).fresh == 1


def test_pseudo_labels_are_of_waiting_images_that_the_champion_is_sure_of(book, queue, tmp_path):
    unsure = queued(tmp_path / "in", 7, (Label("cat", BOX, 0.95), Label("dog", BOX, 0.4)))
    book.enqueue([*queue, unsure])
    import_labels(book, [said(queue[0], *CAT)], (), ABOUT)
    Path(queue[1].uri).unlink()
    found = pseudo_labels(book.waiting(), tmp_path / "pseudo", ABOUT, confidence=0.8)
    assert [image.image_id for image in found] == [image.image_id for image in queue[2:5]]
    assert [image.truth.scores.tolist() for image in found] == [[pytest.approx(0.9)]] * 3
    np.testing.assert_allclose(found[0].truth.xyxy, [[10, 5, 30, 10]])


def test_labels_of_many_writers_are_all_kept(tmp_path, queue):
    def write(image: QueuedImage) -> None:
        mine = LabelStore(tmp_path / "store", "parts")
        mine.enqueue([image])
        import_labels(mine, [said(image, *CAT)], (), ABOUT)

    run_all([lambda image=image: write(image) for image in queue])
    book = LabelStore(tmp_path / "store", "parts")
    assert (
        set(book.labels())
        == {image.sha256 for image in book.queue()}
        == {image.sha256 for image in queue}
    )


def run_all(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_damaged_file_and_an_unsafe_name_are_named(tmp_path, queue):
    with pytest.raises(ConfigError, match="name"):
        LabelStore(tmp_path / "store", "../parts")
    book = LabelStore(tmp_path / "store", "parts")
    book.enqueue(queue)
    (file,) = (tmp_path / "store" / "parts" / "_labels" / "queue").iterdir()
    for damaged in ('{"at": ', 100_000 * "["):
        file.write_text(damaged)
        with pytest.raises(DatasetError, match="a whole file"):
            book.queue()
