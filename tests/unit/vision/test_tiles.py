"""Tiles of an image, and the objects that lie on their seams."""

import numpy as np
import pytest

from components.contracts import Classification, Detections, View
from components.errors import ConfigError, IncompatibleError
from components.vision.combining.settings import Tiling
from components.vision.combining.tiles import join, tiles_of

TILING = Tiling(size=100, overlap=0.2, whole=False)


def seen_by(view, objects):
    """What a perfect detector sees of objects (x1, y1, x2, y2, score, class id) in a view."""
    rows = []
    edges = [view.left, view.top, view.left + view.width, view.top + view.height]
    for *box, score, class_id in objects:
        x1, y1 = np.maximum(box[:2], edges[:2])
        x2, y2 = np.minimum(box[2:], edges[2:])
        if x2 > x1 and y2 > y1:
            rows.append((x1, y1, x2, y2, score, class_id))
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def joined(objects, tiling=TILING, size=(180, 260)):
    views = tiles_of(*size, tiling)
    return join([seen_by(view, objects) for view in views], views, tiling)


def boxes_of(found):
    return sorted(found.xyxy.tolist())


def test_tiles_cover_the_image_and_overlap_as_asked():
    tiles = tiles_of(180, 260, TILING)
    assert [(tile.left, tile.top) for tile in tiles] == [
        (0, 0), (80, 0), (160, 0), (0, 80), (80, 80), (160, 80),
    ]  # fmt: skip
    assert {(tile.width, tile.height) for tile in tiles} == {(100, 100)}


def test_tiles_are_spread_evenly_where_they_do_not_fit():
    assert [tile.left for tile in tiles_of(100, 261, TILING)] == [0, 54, 107, 161]


def test_an_image_that_one_tile_holds_is_seen_once():
    assert tiles_of(60, 80, Tiling(size=100)) == (View.of_whole(60, 80),)


def test_the_whole_image_is_a_view_of_its_own_if_wanted():
    tiles = tiles_of(180, 260, Tiling(size=100))
    assert len(tiles) == 7 and tiles[0] == View.of_whole(180, 260)


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 40, 40),  # in one tile
        (82, 20, 98, 40),  # whole in two
        (70, 20, 110, 40),  # larger than the overlap: cut in both
        (20, 60, 40, 120),  # cut from above and below
        (60, 60, 130, 130),  # cut in four
        (30, 20, 230, 50),  # longer than a tile: cut in three
        (5, 5, 255, 175),  # in all six
        (0, 0, 260, 180),  # to the edges of the image
        (99, 20, 140, 40),  # a sliver of a pixel in its neighbour
    ],
)
def test_an_object_on_a_seam_comes_out_once_and_whole(box):
    assert boxes_of(joined([(*box, 0.8, 1)])) == [list(box)]


def test_neighbours_on_a_seam_stay_apart():
    objects = [(60, 20, 95, 40, 0.9, 1), (90, 20, 130, 40, 0.8, 1), (60, 45, 130, 60, 0.7, 1)]
    assert boxes_of(joined(objects)) == sorted([list(row[:4]) for row in objects])


def test_classes_on_a_seam_do_not_mix():
    objects = [(60, 20, 130, 40, 0.9, 1), (60, 20, 130, 40, 0.8, 2)]
    found = joined(objects)
    assert sorted(found.labels) == [1, 2] and boxes_of(found) == [[60, 20, 130, 40]] * 2


def test_a_part_that_scores_more_than_the_whole_does_not_replace_it():
    views = tiles_of(100, 180, TILING)
    box = (82, 20, 130, 40)
    cut, rest = seen_by(views[0], [(*box, 0.9, 1)]), seen_by(views[1], [(*box, 0.5, 1)])
    assert cut.xyxy.tolist() == [[82, 20, 100, 40]]
    found = join([cut, rest], views, TILING)
    assert boxes_of(found) == [[82, 20, 130, 40]]
    assert found.scores.tolist() == pytest.approx([0.9])


def test_the_best_scored_of_two_whole_boxes_is_kept_as_it_is():
    views = tiles_of(100, 180, TILING)
    one, other = (
        seen_by(views[0], [(83, 20, 96, 40, 0.6, 1)]),
        seen_by(views[1], [(83, 21, 96, 40, 0.7, 1)]),
    )
    assert boxes_of(join([one, other], views, TILING)) == [[83, 21, 96, 40]]


def test_a_sliver_in_the_next_tile_that_is_found_inexactly_is_no_object_of_its_own():
    views = tiles_of(100, 180, TILING)
    one = seen_by(views[0], [(60, 20, 82, 40, 0.9, 1)])
    other = Detections([[80, 21, 84, 38]], [0.4], [1])  # of two pixels that the tile shows
    assert boxes_of(join([one, other], views, TILING)) == [[60, 20, 82, 40]]


def test_small_objects_within_a_large_one_of_their_class_stay():
    tiling = Tiling(size=100, overlap=0.2)
    objects = [(20, 10, 240, 170, 0.9, 1), (76, 30, 92, 50, 0.8, 1), (120, 72, 140, 95, 0.7, 1)]
    assert boxes_of(joined(objects, tiling)) == sorted([list(row[:4]) for row in objects])


def test_what_the_whole_image_shows_of_small_objects_does_not_count():
    tiling = Tiling(size=100, overlap=0.2)
    views = tiles_of(180, 260, tiling)
    exact = [(30, 30, 36, 36, 0.5, 1)]
    blurred = seen_by(views[0], [(28, 27, 40, 40, 0.9, 1)])
    found = [blurred, *(seen_by(view, exact) for view in views[1:])]
    assert boxes_of(join(found, views, tiling)) == [[30, 30, 36, 36]]


def test_an_object_that_no_two_tiles_can_join_comes_from_the_whole_image():
    tiling = Tiling(size=100, overlap=0.2)
    views = tiles_of(180, 260, tiling)
    found = [seen_by(view, [(5, 5, 255, 175, 0.5, 1)]) for view in views]
    blind = [one if k in (0, 1, 3) else Detections.empty() for k, one in enumerate(found)]
    assert boxes_of(join(blind, views, tiling)) == [[5, 5, 255, 175]]


def test_many_objects_come_out_as_many():
    rng = np.random.default_rng(3)
    objects = [
        (x, y, x + w, y + h, s, k)
        for x, y, w, h, s, k in zip(
            *np.meshgrid(np.arange(3, 640, 25), np.arange(3, 480, 25)),
            *rng.integers(8, 20, (2, 20, 26)),
            rng.uniform(0.3, 1, (20, 26)),
            rng.integers(0, 3, (20, 26)),
            strict=True,
        )
        for x, y, w, h, s, k in zip(x, y, w, h, s, k, strict=True)
    ]
    found = joined(objects, Tiling(size=128, overlap=0.2), size=(500, 660))
    assert boxes_of(found) == sorted([float(v) for v in row[:4]] for row in objects)
    assert (np.diff(found.scores) <= 0).all()


def test_masks_of_a_seam_are_joined():
    tiling = Tiling(size=16, overlap=0.5, whole=False)
    views = tiles_of(16, 24, tiling)
    masks = [np.zeros((1, 16, 24), bool) for _ in views]
    masks[0][0, 4:8, 4:16], masks[1][0, 4:8, 8:20] = True, True
    found = [
        Detections([[4, 4, 16, 8]], [0.5], [0], masks[0]),
        Detections([[8, 4, 20, 8]], [0.5], [0], masks[1]),
    ]
    whole = join(found, views, tiling)
    assert boxes_of(whole) == [[4, 4, 20, 8]]
    assert whole.masks.sum() == 4 * 16 and whole.masks[0, 4:8, 4:20].all()


def test_nothing_in_any_tile_is_nothing():
    assert joined([]) == Detections.empty()


def test_other_predictions_and_settings_are_refused():
    views = tiles_of(100, 180, TILING)
    with pytest.raises(IncompatibleError, match="Detections only"):
        join([Classification([1.0])] * 2, views, TILING)
    for values, said in (({"size": 4}, "size"), ({"size": 64, "overlap": 0}, "overlap")):
        with pytest.raises(ConfigError, match=said):
            Tiling(**values)
