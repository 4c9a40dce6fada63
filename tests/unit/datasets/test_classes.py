"""Classes are what they are called, whatever their numbers are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.contracts import Classification, Detections, LabelledImage
from components.datasets.classes import class_ids, in_classes_of, same_classes
from components.datasets.dataset import LabelledDataset
from components.errors import IncompatibleError

FOLDERS = ("bent", "good", "scratched")  # as they sort
MODEL = ("good", "scratched", "bent")


def wholes(names: tuple[str, ...], *shown: str) -> LabelledDataset:
    one_hot = np.eye(len(names), dtype=np.float32)
    images = [
        LabelledImage(f"{k}.jpg", Path(f"{k}.jpg"), Classification(one_hot[names.index(name)]))
        for k, name in enumerate(shown)
    ]
    return LabelledDataset(Path("screws"), "val", "classify", names, tuple(images), "hash")


def test_truths_get_the_models_ids_and_the_hash_stays():
    found = in_classes_of(wholes(FOLDERS, *FOLDERS), MODEL)
    assert [MODEL[image.truth.class_id] for image in found.images] == list(FOLDERS)
    assert (found.class_names, found.sha256) == (MODEL, "hash")
    assert in_classes_of(found, MODEL) is found


def test_boxes_and_masks_get_the_models_ids():
    masks = np.zeros((2, 4, 4), bool)
    found = Detections([[0, 0, 1, 1], [1, 1, 2, 2]], [1, 0.5], [0, 2], masks).renumbered(
        class_ids(FOLDERS, MODEL), 3
    )
    assert found.class_ids.tolist() == [2, 1]
    assert found.masks is not None and found.masks.shape == masks.shape


def test_probabilities_follow_their_names():
    found = Classification([0.5, 0.3, 0.2]).renumbered(class_ids(FOLDERS, MODEL), 3)
    assert isinstance(found, Classification)
    np.testing.assert_allclose(found.probs, [0.3, 0.2, 0.5], rtol=1e-6)


def test_classes_that_no_image_shows_may_be_missing_on_either_side():
    assert in_classes_of(wholes(("bent", "good"), "bent", "good"), MODEL).class_names == MODEL
    assert (
        in_classes_of(wholes(("bent", "good", "rusty"), "bent", "good"), MODEL).class_names == MODEL
    )


def test_classes_that_the_model_does_not_know_are_named_with_their_number():
    with pytest.raises(
        IncompatibleError,
        match=r"good, scratched, bent, found rusty \(images: 2\) of val in screws",
    ):
        in_classes_of(wholes(("good", "rusty"), "good", "rusty", "rusty"), MODEL)
    with pytest.raises(IncompatibleError, match="give class_names in the order of its outputs"):
        in_classes_of(wholes(FOLDERS, *FOLDERS), ("class_0", "class_1", "class_2"))


def test_names_that_come_twice_are_matched_only_where_the_order_is_the_same():
    cranes = ("crane", "house", "crane")
    assert class_ids(cranes, cranes) == [0, 1, 2]
    with pytest.raises(IncompatibleError, match="crane more than once"):
        class_ids(("house", "crane", "crane"), cranes)
    assert same_classes(cranes, ("crane", "crane", "house")) and not same_classes(
        cranes, ("crane", "house", "house")
    )
