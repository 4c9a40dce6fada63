"""Any images and splits for a retraining: no split knows another's, and sides are for good."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.contracts import Classification, LabelledImage
from components.training.selection import Chosen, Entry, Material, Role, Selection, choose

PICTURES = 18
SELECTION = Selection(held_out_share=0.4)

quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# a picture, as it is or saved again
look = st.tuples(st.integers(0, PICTURES - 1), st.booleans())
some = st.lists(look, max_size=8)


@pytest.fixture(scope="module")
def album(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    for number in range(PICTURES):
        blobs = np.random.default_rng(number).integers(0, 255, (5, 6, 3)).astype(np.uint8)
        image = cv2.resize(blobs, (48, 40), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number}-first.bmp"), image)
        again = np.clip(image * 1.05 + 2, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}-again.jpg"), again, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return folder


def images(album: Path, looks: list[tuple[int, bool]]) -> list[LabelledImage]:
    names = [f"{number}-again.jpg" if again else f"{number}-first.bmp" for number, again in looks]
    truth = Classification([1.0, 0.0])  # type: ignore[arg-type]
    return [LabelledImage(name, album / name, truth) for name in names]


def numbers(entries: tuple[Entry, ...] | list[LabelledImage]) -> set[int]:
    return {int(entry.path.name.partition("-")[0]) for entry in entries}


@quick
@given(some, some, some, some, some, some)
def test_no_picture_is_in_two_splits(album, golden, val, calibration, new, train, pseudo):
    parts = [images(album, looks) for looks in (golden, val, calibration, new, train, pseudo)]
    selection = Selection(held_out_share=0.4, pseudo_share=0.5)
    chosen = choose(Material(*parts), selection)
    splits = [numbers(parts[0]), *map(numbers, (chosen.val, chosen.calibration, chosen.train))]
    assert sum(map(len, splits)) == len(set.union(*splits))
    assert numbers(chosen.recent) <= numbers(chosen.val)
    learnt = [entry for entry in chosen.train if entry.role is not Role.PSEUDO]
    assert len(numbers(tuple(learnt))) == len(learnt), "each picture is learnt from once"
    assert set.union(*splits) >= set.union(*map(numbers, parts[:5])), "and none is lost"


@quick
@given(some, some, some, some)
def test_the_choice_is_the_same_again_and_golden_images_are_never_touched(
    album, golden, val, new, train
):
    material = Material(
        images(album, golden), images(album, val), (), images(album, new), images(album, train)
    )
    first, again = (choose(material, SELECTION) for _ in range(2))
    assert outline(first) == outline(again)
    assert first.golden == len(golden)


def outline(chosen: Chosen) -> list[list[str]]:
    splits = (chosen.train, chosen.val, chosen.recent, chosen.calibration)
    return [[entry.sha256 for entry in entries] for entries in splits]


@quick
@given(some, some, some, some)
def test_new_images_keep_their_side_when_more_arrive(album, val, earlier, later, train):
    def sides(new: list[tuple[int, bool]]) -> tuple[set[str], set[str]]:
        chosen = choose(
            Material((), images(album, val), (), images(album, new), images(album, train)),
            SELECTION,
        )
        learnt = {entry.sha256 for entry in chosen.train if entry.role is Role.NEW}
        return learnt, {entry.sha256 for entry in chosen.recent}

    before, after = sides(earlier), sides(earlier + later)
    assert before[0] <= after[0]
    assert before[1] <= after[1]


@quick
@given(some, some, st.integers(1, 12), st.floats(0, 0.9))
def test_a_replay_never_cuts_new_images_and_keeps_to_its_size(album, new, train, most, share):
    selection = Selection(held_out_share=0.4, most_images=most, replay_share=share)
    whole = choose(Material((), (), (), images(album, new), images(album, train)), SELECTION)
    chosen = choose(Material((), (), (), images(album, new), images(album, train)), selection)

    def of(which: Chosen, role: Role) -> set[str]:
        return {entry.sha256 for entry in which.train if entry.role is role}

    assert of(chosen, Role.NEW) == of(whole, Role.NEW)
    fresh, old = len(of(chosen, Role.NEW)), len(of(chosen, Role.ORIGINAL))
    assert old == min(
        len(of(whole, Role.ORIGINAL)), max(most - fresh, round(fresh * share / (1 - share)))
    )
    assert chosen.replayed == (old < len(of(whole, Role.ORIGINAL)))
