"""Pairs of predictions of the same images."""

from __future__ import annotations

import numpy as np
import pytest

from components.contracts import Classification, Detections
from components.errors import IncompatibleError
from components.vision.metrics import average_precision
from components.vision.paired import pair_up

NAMES = ("a", "b")


def detections(
    rng: np.random.Generator, truth: Detections, *, miss: float, shift: float
) -> Detections:
    """What a detector finds: some objects, near their places, in about one image a wrong one."""
    kept = rng.random(len(truth)) >= miss
    near = (truth.xyxy + rng.normal(0, shift, truth.xyxy.shape))[kept]
    stray = rng.uniform(0, 90, (1, 2))
    xyxy = np.vstack([near, np.hstack([stray, stray + 9])])
    ids = np.append(truth.class_ids[kept], rng.integers(2))
    return Detections(xyxy.astype(np.float32), rng.beta(5, 2, len(xyxy)).astype(np.float32), ids)


def scenes(images: int, seed: int, classes: int = 2) -> list[Detections]:
    rng, made = np.random.default_rng(seed), []
    for _ in range(images):
        n = int(rng.integers(1, 5))
        corner, extent = rng.uniform(0, 90, (n, 2)), rng.uniform(15, 30, (n, 2))
        boxes = np.hstack([corner, corner + extent]).astype(np.float32)
        made.append(Detections(boxes, np.ones(n, np.float32), rng.integers(0, classes, n)))
    return made


def everything(truths: list[Detections]) -> np.ndarray:
    return np.ones(len(truths), np.bool_)


@pytest.fixture(scope="module")
def contest() -> tuple[list[Detections], list[Detections], list[Detections]]:
    """A champion, a challenger that misses more, and the truth."""
    truths, rng = scenes(80, 0), np.random.default_rng(1)
    champion = [detections(rng, truth, miss=0.1, shift=1) for truth in truths]
    return champion, [detections(rng, truth, miss=0.5, shift=1) for truth in truths], truths


def test_scores_are_cocos_and_a_much_worse_challenger_is_surely_worse(contest) -> None:
    champion, challenger, truths = contest
    found = pair_up(champion, challenger, truths, NAMES).overall(everything(truths))
    assert found is not None
    for value, predictions in ((found.champion, champion), (found.challenger, challenger)):
        coco = average_precision(predictions, truths, classes=2, max_detections=300)["map50_95"]
        assert value == pytest.approx(coco, abs=1e-9)
    assert found.high(0.999) < -0.1


def test_swapping_detectors_mirrors_whole_slices_and_classes(contest) -> None:
    champion, challenger, truths = contest
    one, other = (
        pair_up(*pair, truths, NAMES) for pair in ((champion, challenger), (challenger, champion))
    )
    half = np.arange(80) % 2 == 0
    pairs = [(one.overall(mask), other.overall(mask)) for mask in (everything(truths), half)]
    pairs += [(one.by_class()[name][1], other.by_class()[name][1]) for name in NAMES]
    for first, second in pairs:
        assert first is not None and second is not None
        assert second.value == -first.value
        assert second.low(0.975) == pytest.approx(-first.high(0.975), abs=1e-12)


def test_a_model_against_itself_differs_by_nothing_and_is_never_surely_better(contest) -> None:
    champion, _, truths = contest
    found = pair_up(champion, champion, truths, NAMES).overall(everything(truths))
    assert found is not None
    assert found.value == 0
    assert found.low(0.999) < 0 < found.high(0.999)


def test_a_slice_is_compared_as_if_it_were_all(contest) -> None:
    champion, challenger, truths = contest
    part = pair_up(champion, challenger, truths, NAMES).overall(np.arange(80) < 30)
    alone = pair_up(champion[:30], challenger[:30], truths[:30], NAMES).overall(
        np.ones(30, np.bool_)
    )
    assert part is not None and alone is not None
    assert part.value == pytest.approx(alone.value, abs=1e-12)
    assert part.low(0.975) == pytest.approx(alone.low(0.975), abs=1e-9)


def test_the_class_that_broke_is_the_one_that_differs(contest) -> None:
    champion, _, truths = contest
    broken = [
        Detections(f.xyxy[keep := f.class_ids != 1], f.scores[keep], f.class_ids[keep])
        for f in champion
    ]
    by_class = pair_up(champion, broken, truths, NAMES).by_class()
    assert by_class["b"][0] == sum(int((truth.class_ids == 1).sum()) for truth in truths)
    assert by_class["a"][1] is not None and by_class["a"][1].value == 0
    assert by_class["b"][1] is not None and by_class["b"][1].high(0.999) < -0.3


def test_a_class_of_one_object_leaves_the_mean_over_classes_unsure() -> None:
    truths = scenes(40, 3, classes=1)
    first = truths[0]
    truths[0] = Detections(first.xyxy, first.scores, np.arange(len(first)) == 0)
    found = pair_up(truths, truths, truths, NAMES).overall(everything(truths))
    assert found is not None
    objects = sum(map(len, truths))
    assert found.high(0.975) > 9 / objects, "the other class's one object is half of the mean"


def test_images_without_objects_leave_nothing_to_compare() -> None:
    nothing = [Detections.empty()] * 5
    pair = pair_up(nothing, nothing, [*nothing[:4], scenes(1, 0)[0]], NAMES)
    assert pair.overall(np.array([True] * 4 + [False])) is None
    assert {difference for _, difference in pair.by_class().values()} == {None}


@pytest.mark.slow
def test_intervals_of_equal_detectors_hold_zero_as_often_as_they_say_and_are_not_too_wide() -> None:
    """Eighty pairs of detectors that err alike but not in the same places."""
    values, widths, held = [], [], 0
    for seed in range(80):
        truths, rng = scenes(40, seed, classes=1), np.random.default_rng([seed, 1])
        pair = [[detections(rng, truth, miss=0.2, shift=1.5) for truth in truths] for _ in range(2)]
        found = pair_up(*pair, truths, ("a",)).overall(everything(truths))
        assert found is not None
        values.append(found.value)
        widths.append(found.high(0.975) - found.low(0.975))
        held += found.low(0.975) <= 0 <= found.high(0.975)
    assert held >= 71, "76 expected"
    assert 0.75 < np.mean(widths) / (2 * 2.02 * np.std(values)) < 1.5


def test_classifiers_are_compared_by_who_alone_was_right() -> None:
    def said(*ids: int) -> list[Classification]:
        return [Classification(np.eye(2, dtype=np.float32)[k]) for k in ids]

    pair = pair_up(said(0, 0, 1, 1, 0), said(0, 1, 1, 0, 0), said(0, 1, 1, 1, 1), NAMES)
    found = pair.overall(np.ones(5, np.bool_))
    assert found is not None
    assert (found.champion, found.challenger, found.value) == (0.6, 0.6, 0)
    count, of_b = pair.by_class()["b"]
    assert (count, of_b and of_b.champion) == (4, 0.5)
    assert pair.overall(np.zeros(5, np.bool_)) is None


def test_predictions_of_another_kind_or_number_are_refused(contest) -> None:
    champion, challenger, truths = contest
    with pytest.raises(ValueError, match="expected 80 predictions each, found 80 and 79"):
        pair_up(champion, challenger[:-1], truths, NAMES)
    with pytest.raises(IncompatibleError):
        pair_up([Classification(np.ones(2) / 2)] * 80, challenger, truths, NAMES)
