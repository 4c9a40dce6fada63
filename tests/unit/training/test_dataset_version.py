"""The dataset of a retraining: what is in it, what is not, and no split knows another's images."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from components.contracts import Classification, Detections, LabelledImage
from components.datasets.classes import in_classes_of
from components.datasets.dataset import LabelledDataset, load_dataset
from components.errors import ConfigError, IncompatibleError
from components.files import sha256_file, sha256_tree
from components.training import OriginalData, Selection, SplitNames, compose_dataset
from components.training.selection import Material, choose

NAMES = ("cat", "dog")
OWN = SplitNames("train", "val", "calibration", "golden")


def picture(number: int) -> np.ndarray:
    """Blobs that are like no other number's."""
    rng = np.random.default_rng(number)
    small = rng.integers(0, 255, (5, 6, 3)).astype(np.uint8)
    return cv2.resize(small, (72, 60), interpolation=cv2.INTER_CUBIC)


def write_yolo(root: Path, splits: dict[str, range], names: tuple[str, ...] = NAMES) -> Path:
    for split, numbers in splits.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            cv2.imwrite(str(root / "images" / split / f"{number:05d}.png"), picture(number))
            row = f"{number % len(names)} 0.5 0.5 0.{1 + number % 5} 0.25\n"
            (root / "labels" / split / f"{number:05d}.txt").write_text(row)
    described = {"names": list(names), **{split: f"images/{split}" for split in splits}}
    (root / "data.yaml").write_text(yaml.safe_dump(described))
    return root / "data.yaml"


def write_folder(root: Path, splits: dict[str, range], names: tuple[str, ...] = NAMES) -> Path:
    for split, numbers in splits.items():
        for number in numbers:
            folder = root / split / names[number % len(names)]
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{number:05d}.png"), picture(number))
    return root


ORIGINAL = {
    "train": range(40),
    "val": range(100, 112),
    "calibration": range(200, 204),
    "golden": range(300, 304),
}
NEW = {"train": range(1000, 1024)}


@pytest.fixture(params=[write_yolo, write_folder], ids=["boxes", "wholes"])
def write(request):
    return request.param


@pytest.fixture
def original(write, tmp_path) -> Path:
    return write(tmp_path / "original", ORIGINAL)


@pytest.fixture
def new(write, tmp_path) -> LabelledDataset:
    return load_dataset(write(tmp_path / "new", NEW), "train")


def contents(data: Path, split: str) -> set[str]:
    return {sha256_file(image.path) for image in load_dataset(data, split).images}


def sha(dataset: LabelledDataset, *numbers: int) -> set[str]:
    return {sha256_file(image.path) for image in dataset.images if int(image.path.stem) in numbers}


def test_every_image_has_one_place_and_is_counted(original, new, tmp_path):
    done = compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out")
    assert done.dropped == {}
    assert done.sources == {"original": 60, "replay": 0, "new": 24, "pseudo": 0}
    splits = {split: contents(done.data, split) for split in done.images}
    assert {split: len(found) for split, found in splits.items()} == dict(done.images)
    assert splits["recent"] < splits["val"]
    assert splits["golden"] == contents(original, "golden")
    assert contents(original, "val") == splits["val"] - splits["recent"]
    apart = ["train", "val", "calibration", "golden"]
    assert (
        sum(len(splits[name]) for name in apart)
        == len(set().union(*(splits[name] for name in apart)))
        == 84
    )
    assert 0 < done.images["recent"] < 24


def test_labels_are_those_of_the_sources(original, new, tmp_path):
    done = compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out")
    known = {
        sha256_file(image.path): image.truth
        for dataset in (*(load_dataset(original, split) for split in ORIGINAL), new)
        for image in dataset.images
    }
    for split in done.images:
        dataset = load_dataset(done.data, split)
        assert dataset.class_names == NAMES
        for image in dataset.images:
            truth = known[sha256_file(image.path)]
            if isinstance(truth, Detections) and isinstance(image.truth, Detections):
                np.testing.assert_allclose(image.truth.xyxy, truth.xyxy, atol=1e-3)
                np.testing.assert_array_equal(image.truth.class_ids, truth.class_ids)
            else:
                np.testing.assert_array_equal(image.truth.probs, truth.probs)


def test_the_golden_set_is_frozen_with_its_names_and_labels(original, new, tmp_path):
    done = compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out")
    assert load_dataset(done.data, "golden").sha256 == load_dataset(original, "golden").sha256
    again = compose_dataset(OriginalData(done.data, splits=OWN), [], tmp_path / "later")
    assert load_dataset(again.data, "golden").sha256 == load_dataset(original, "golden").sha256


def test_the_same_inputs_give_the_same_version_whatever_files_are_called(
    original, write, new, tmp_path
):
    first = compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out")
    inode = (tmp_path / "out" / first.sha256 / "dataset.json").stat().st_ino
    assert compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out") == first
    assert (tmp_path / "out" / first.sha256 / "dataset.json").stat().st_ino == inode
    moved = tmp_path / "elsewhere"
    shutil.copytree(original if original.is_dir() else original.parent, moved)
    elsewhere = compose_dataset(OriginalData(moved, splits=OWN), [new], tmp_path / "other")
    assert (elsewhere.sha256, elsewhere.images, elsewhere.sources) == (
        first.sha256,
        first.images,
        first.sources,
    )
    assert sha256_tree(tmp_path / "other" / first.sha256) == sha256_tree(
        tmp_path / "out" / first.sha256
    )
    fewer = load_dataset(write(tmp_path / "fewer", {"train": range(1000, 1023)}), "train")
    assert (
        compose_dataset(OriginalData(original, splits=OWN), [fewer], tmp_path / "out").sha256
        != first.sha256
    )
    assert [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_a_version_that_lost_images_is_made_again(original, new, tmp_path):
    first = compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out")
    lost = load_dataset(first.data, "train").images[:3]
    for image in lost:
        image.path.unlink()
    assert compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out") == first
    assert all(image.path.is_file() for image in lost)


def test_sides_do_not_change_when_more_images_come_or_training_starts_from_the_last_version(
    original, write, new, tmp_path
):
    first = compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out")
    more = load_dataset(write(tmp_path / "more", {"train": range(990, 1060)}), "train")
    for start in (original, first.data):
        later = compose_dataset(OriginalData(start, splits=OWN), [more], tmp_path / "out")
        again = contents(first.data, "recent") & contents(later.data, "recent")
        assert again == (contents(first.data, "recent") if start is original else set())
        assert contents(first.data, "val") < contents(later.data, "val")
        assert contents(first.data, "train") < contents(later.data, "train")
        assert contents(later.data, "val").isdisjoint(contents(later.data, "train"))
        assert later.images["train"] + later.images["val"] == 40 + 12 + 70


def test_what_the_champion_knows_already_is_not_new(write, original, new, tmp_path):
    first = compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out")
    known = [load_dataset(first.data, split) for split in ("train", "val")]
    again = compose_dataset(OriginalData(first.data, splits=OWN), [*known, new], tmp_path / "out")
    assert again.sources["new"] == 0
    assert "recent" not in again.images
    assert contents(again.data, "train") == contents(first.data, "train")
    assert again.dropped.keys() == {"in_training_set", "in_validation_set"}


def test_an_image_that_was_labelled_again_is_learnt_with_its_new_labels(tmp_path):
    data = write_folder(tmp_path / "original", ORIGINAL)
    relabelled = tmp_path / "new" / "train"
    for number in range(0, 40, 2):
        (relabelled / "dog").mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "train" / "cat" / f"{number:05d}.png", relabelled / "dog")
    (relabelled / "cat").mkdir()
    done = compose_dataset(
        OriginalData(data, splits=OWN), [load_dataset(relabelled.parent, "train")], tmp_path / "out"
    )
    assert done.sources["new"] == 20
    assert {image.truth.class_id for image in load_dataset(done.data, "train").images} == {1}


def relit(source: Path, target: Path) -> None:
    """The same picture with other bytes."""
    image = np.clip(cv2.imread(str(source)).astype(np.float32) * 1.06 + 3, 0, 255).astype(np.uint8)
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), image, [cv2.IMWRITE_JPEG_QUALITY, 80])


def test_what_is_in_a_frozen_set_is_left_out_of_training_by_content(tmp_path):
    data = write_folder(tmp_path / "original", ORIGINAL)
    root = write_folder(tmp_path / "new", {"train": range(1000, 1004)})
    for name, split, number in (("a", "golden", 300), ("b", "val", 101), ("c", "calibration", 202)):
        kind = NAMES[number % 2]
        source = data / split / kind / f"{number:05d}.png"
        relit(source, root / "train" / kind / f"{name}.jpg")
        shutil.copy(source, root / "train" / kind / f"{name}-copy.png")
        cv2.imwrite(str(data / "train" / kind / f"{name}.jpg"), cv2.imread(str(source)))
    done = compose_dataset(
        OriginalData(data, splits=OWN), [load_dataset(root, "train")], tmp_path / "out"
    )
    # each thrice: two new images and one that the original data had in two splits; a held-out copy
    # stays in val
    assert done.dropped.keys() == {"in_golden_set", "in_calibration_set", "in_validation_set"}
    assert done.dropped["in_golden_set"] == done.dropped["in_calibration_set"] == 3
    assert 2 <= done.dropped["in_validation_set"] <= 3
    assert done.sources["new"] == 4
    assert done.images["train"] + done.images["val"] == 40 + 12 + 4


def test_a_picture_saved_again_is_learnt_from_once(tmp_path, write):
    data = write(tmp_path / "original", ORIGINAL)
    root = write(tmp_path / "new", {"train": range(1000, 1012)})
    part = load_dataset(root, "train")
    selection = Selection(held_out_share=1e-9)
    extra = []
    for image in part.images[:5]:
        target = tmp_path / "again" / f"{image.path.stem}.jpg"
        relit(image.path, target)
        extra.append(LabelledImage(target.name, target, image.truth))
    twice = replace(part, images=(*part.images, *extra, *part.images[:2]))
    done = compose_dataset(
        OriginalData(data, splits=OWN), [twice], tmp_path / "out", selection=selection
    )
    assert done.dropped == {"near_duplicate": 5, "duplicate": 2}
    assert done.images["train"] == 40 + 12 and "recent" not in done.images


def test_pictures_that_look_the_same_are_kept_where_their_labels_differ(tmp_path, write):
    data = write(tmp_path / "original", ORIGINAL)
    part = load_dataset(write(tmp_path / "new", {"train": range(1000, 1012)}), "train")
    extra = []
    for image in part.images:
        target = tmp_path / "again" / f"{image.path.stem}.jpg"
        relit(image.path, target)
        extra.append(LabelledImage(target.name, target, image.truth.renumbered((1, 0), 2)))
    both = replace(part, images=(*part.images, *extra))
    selection = Selection(held_out_share=1e-9)
    done = compose_dataset(
        OriginalData(data, splits=OWN), [both], tmp_path / "out", selection=selection
    )
    assert done.dropped == {} and done.sources["new"] == 24


def test_images_of_a_still_camera_whose_lamp_has_another_colour_are_all_new(tmp_path):
    """The lamps are equally bright; what was known is all green, what is new is all red."""
    rng = np.random.default_rng(3)
    scene = cv2.resize(
        rng.integers(0, 255, (5, 6, 3)).astype(np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC
    )
    for folder, split, kind, colour in (
        ("original", "train", "green", (0, 87, 0)),
        ("original", "val", "green", (0, 87, 0)),
        ("new", "train", "red", (0, 0, 170)),
    ):
        for known in ("green", "red"):
            (tmp_path / folder / split / known).mkdir(parents=True, exist_ok=True)
        frame = cv2.circle(scene.copy(), (80, 60), 10, colour, -1)
        noise = rng.normal(0, 2, scene.shape)
        cv2.imwrite(
            str(tmp_path / folder / split / kind / f"{split}.png"),
            np.clip(frame + noise, 0, 255).astype(np.uint8),
        )
    new = load_dataset(tmp_path / "new", "train")
    done = compose_dataset(
        OriginalData(tmp_path / "original"),
        [new],
        tmp_path / "out",
        selection=Selection(held_out_share=1e-9),
    )
    assert (done.dropped, done.sources["new"]) == ({"in_validation_set": 1}, 1)


def test_a_new_image_that_was_trained_on_is_not_judged_on(tmp_path):
    data = write_folder(tmp_path / "original", ORIGINAL)
    root = write_folder(tmp_path / "new", {"train": range(1000, 1004)})
    for number in range(20):
        kind = NAMES[number % 2]
        relit(data / "train" / kind / f"{number:05d}.png", root / "train" / kind / f"{number}.jpg")
    everything = Selection(held_out_share=1 - 1e-9)
    done = compose_dataset(
        OriginalData(data, splits=OWN),
        [load_dataset(root, "train")],
        tmp_path / "out",
        selection=everything,
    )
    assert done.dropped == {"in_training_set": 20}
    assert done.images["recent"] == 4


def test_a_large_original_is_replayed_and_new_images_are_never_cut(original, new, tmp_path):
    selection = Selection(most_images=26, replay_share=0.25)
    done = compose_dataset(
        OriginalData(original, splits=OWN), [new], tmp_path / "out", selection=selection
    )
    fresh = 24 - done.images["recent"]
    assert done.images["train"] == 26
    assert done.sources == {"original": 20, "replay": 26 - fresh, "new": 24, "pseudo": 0}
    assert contents(done.data, "train") >= sha(new, *range(1000, 1024)) - contents(
        done.data, "recent"
    )
    most = Selection(most_images=1, replay_share=0.5)
    balanced = compose_dataset(
        OriginalData(original, splits=OWN), [new], tmp_path / "out", selection=most
    )
    assert balanced.sources["replay"] == fresh, "half of the training images stay original ones"


def test_a_replay_keeps_rare_classes(tmp_path):
    data = write_yolo(tmp_path / "original", {"train": range(60), "val": range(100, 104)})
    for number in range(60):
        row = f"{int(number == 7)} 0.5 0.5 0.2 0.2\n"
        (tmp_path / "original" / "labels" / "train" / f"{number:05d}.txt").write_text(row)
    new = load_dataset(write_yolo(tmp_path / "new", NEW), "train")
    for most in (20, 24, 28):
        selection = Selection(most_images=most, replay_share=0.0)
        done = compose_dataset(OriginalData(data), [new], tmp_path / "out", selection=selection)
        originals = contents(done.data, "train") & contents(data, "train")
        rare = sha(load_dataset(data, "train"), 7)
        assert not originals or rare <= originals


def test_classes_are_matched_by_name(tmp_path, write, original):
    part = load_dataset(
        write(tmp_path / "swapped", {"train": range(2000, 2008)}, ("dog", "cat")), "train"
    )
    done = compose_dataset(
        OriginalData(original, splits=OWN),
        [part],
        tmp_path / "out",
        selection=Selection(held_out_share=1e-9),
    )
    truths = {
        sha256_file(image.path): image.truth for image in load_dataset(done.data, "train").images
    }
    for image in part.images:
        was, now = image.truth, truths[sha256_file(image.path)]
        ids = [
            truth.class_ids.tolist() if isinstance(truth, Detections) else [truth.class_id]
            for truth in (was, now)
        ]
        assert [part.class_names[k] for k in ids[0]] == [NAMES[k] for k in ids[1]]


@pytest.mark.slow
@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
def test_a_dataset_has_the_class_ids_of_the_champion(original, new, tmp_path, order):
    done = compose_dataset(
        OriginalData(original, splits=OWN, class_names=order), [new], tmp_path / "out"
    )
    for split in ("train", "val", "golden"):
        dataset = load_dataset(done.data, split)
        assert dataset.task != "detect" or dataset.class_names == order
        for image in in_classes_of(dataset, NAMES).images:
            truth = image.truth
            ids = truth.class_ids.tolist() if isinstance(truth, Detections) else [truth.class_id]
            assert ids == [numbers()[sha256_file(image.path)] % 2]


def numbers() -> dict[str, int]:
    """Number of every picture by its content."""
    every = [number for of in (*ORIGINAL.values(), *NEW.values()) for number in of]
    files = {number: cv2.imencode(".png", picture(number))[1].tobytes() for number in every}
    return {hashlib.sha256(content).hexdigest(): number for number, content in files.items()}


def test_unknown_classes_and_other_tasks_are_one_clear_line(tmp_path, write, original):
    strange = load_dataset(
        write(tmp_path / "strange", {"train": range(4)}, ("cat", "cow")), "train"
    )
    other = load_dataset(
        (write_folder if write is write_yolo else write_yolo)(tmp_path / "o", NEW), "train"
    )
    for part, message in ((strange, "cat, dog, found cow"), (other, "found labels to")):
        with pytest.raises(IncompatibleError, match=message):
            compose_dataset(OriginalData(original, splits=OWN), [part], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_splits_of_their_own_golden_is_the_validation_split(original, new, tmp_path):
    done = compose_dataset(OriginalData(original), [new], tmp_path / "out")
    assert "calibration" not in done.images
    assert load_dataset(done.data, "golden").sha256 == load_dataset(original, "val").sha256
    assert contents(done.data, "golden") == contents(done.data, "val") - contents(
        done.data, "recent"
    )
    assert done.sources == {"original": 52, "replay": 0, "new": 24, "pseudo": 0}


def test_pseudo_labels_are_off_capped_sure_and_only_trained_on(write, original, new, tmp_path):
    part = load_dataset(write(tmp_path / "unlabelled", {"train": range(3000, 3040)}), "train")

    def doubted(image: LabelledImage, score: float) -> LabelledImage:
        truth = image.truth
        if isinstance(truth, Detections):
            return replace(
                image, truth=Detections(truth.xyxy, np.full(len(truth), score), truth.class_ids)
            )
        return replace(image, truth=Classification(truth.probs * score))

    pseudo = [doubted(image, 0.95 if int(image.path.stem) % 2 else 0.5) for image in part.images]
    off = compose_dataset(
        OriginalData(original, splits=OWN), [new], tmp_path / "out", pseudo=pseudo
    )
    assert off.sources["pseudo"] == 0
    selection = Selection(pseudo_share=0.1)
    done = compose_dataset(
        OriginalData(original, splits=OWN),
        [new],
        tmp_path / "out",
        pseudo=pseudo,
        selection=selection,
    )
    assert 0 < done.sources["pseudo"] <= 0.1 * done.images["train"]
    taken = contents(done.data, "train") & sha(part, *range(3000, 3040))
    assert len(taken) == done.sources["pseudo"]
    assert taken <= sha(part, *range(3001, 3040, 2)), "the champion was sure of these alone"
    for split in ("val", "recent", "golden", "calibration"):
        assert contents(done.data, split) == contents(off.data, split)


def test_images_are_not_written_through_their_links(original, new, tmp_path):
    before = sha256_tree(original if original.is_dir() else original.parent)
    done = compose_dataset(OriginalData(original, splits=OWN), [new], tmp_path / "out")
    assert sha256_tree(original if original.is_dir() else original.parent) == before
    image = load_dataset(done.data, "train").images[0].path
    assert os.stat(image).st_nlink > 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"held_out_share": 0.0},
        {"most_images": 0},
        {"replay_share": 1.0},
        {"pseudo_share": 0.9},
        {"pseudo_confidence": 0},
    ],
)
def test_a_selection_outside_its_range_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Selection(**wrong)


def test_material_without_anything_new_is_the_original(original):
    train = load_dataset(original, "train").images
    chosen = choose(
        Material((), load_dataset(original, "val").images, (), (), train, ()), Selection()
    )
    assert [entry.image for entry in chosen.train] == list(train)
    assert chosen.recent == ()
