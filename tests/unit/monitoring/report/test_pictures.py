import base64
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from components.contracts import DriftState
from components.datasets.scenes import compose_scene, digits_of
from components.images.statistics import image_statistics
from components.monitoring import assess, build_reference, write_report
from components.monitoring.drift.tables import DriftTable
from components.monitoring.report.pictures import drift_scores, representatives
from components.monitoring.store.pictures import picture_of, reference_pictures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Files and columns of real scenes: by day to accept, by day and by night to judge."""
    folder = tmp_path_factory.mktemp("scenes")

    def compose(split, mood, seed, count):
        rng, pool, rows = np.random.default_rng(seed), digits_of(split, 0), []
        for number in range(count):
            image, classes, _ = compose_scene(pool, rng, mood)
            path = folder / f"{split}-{mood}-{number}.jpg"
            cv2.imwrite(str(path), image)
            statistics = image_statistics(np.asarray(cv2.imread(str(path)), np.uint8))
            named = {"image_id": path.name, "uri": str(path)}
            rows.append({**named, **statistics, "prediction_count": float(len(classes))})
        return rows

    accepted, day = compose("validation", "day", 1, 60), compose("production", "day", 2, 40)
    night = compose("production", "night", 3, 40)
    mixed = [row for pair in zip(day, night, strict=True) for row in pair]
    known = [
        columns_of(compose("validation", mood, seed, 50))
        for mood, seed in (("day", 4), ("night", 5))
    ]
    return SimpleNamespace(accepted=columns_of(accepted), mixed=columns_of(mixed), known=known)


def columns_of(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def shown(page):
    """The names of the pictures of each gallery, by its title."""
    found = {}
    for title, body in re.findall(
        r"<h3>([^<]+)</h3>\s*<div class=\"pictures\">(.*?)</div>", page, re.DOTALL
    ):
        found[title] = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]+)">', body)
    return found


def test_the_images_that_drifted_stand_beside_accepted_ones(tmp_path, write_run, scenes):
    reference = build_reference(write_run(scenes.accepted), tmp_path / "reference.parquet")
    run = write_run(scenes.mixed)
    decision = assess(run, reference)
    assert decision.state is DriftState.DRIFT
    galleries = shown(write_report(run, reference, decision, tmp_path / "report").html.read_text())
    assert len(galleries["This window"]) == 6
    assert all("night" in name for name in galleries["This window"])
    assert len(set(galleries["Reference"])) == 6
    assert set(galleries["Reference"]) <= set(scenes.accepted["image_id"])


@pytest.mark.parametrize(("place", "condition"), [(0, "day"), (1, "night")])
def test_of_several_conditions_the_pictures_are_those_of_the_nearest(
    tmp_path, write_run, scenes, place, condition
):
    runs = [write_run(known) for known in scenes.known]
    reference = build_reference(runs, tmp_path / "reference.parquet", conditions=["day", "night"])
    count = len(scenes.known[place]["uri"])
    run = write_run({**scenes.known[place], "sharpness": np.linspace(1e5, 2e5, count)})
    decision = assess(run, reference)
    assert (decision.state, decision.condition) == (DriftState.DRIFT, condition)
    galleries = shown(write_report(run, reference, decision, tmp_path / "report").html.read_text())
    assert len(set(galleries["Reference"])) == 6
    assert set(galleries["Reference"]) <= set(scenes.known[place]["image_id"])


def test_a_report_shows_what_is_left_when_images_are_gone(tmp_path, write_run, scenes):
    reference = build_reference(write_run(scenes.accepted), tmp_path / "reference.parquet")
    run = write_run({**scenes.mixed, "uri": [str(tmp_path / "gone.jpg")] * 80})
    page = write_report(
        run, reference, assess(run, reference), tmp_path / "report"
    ).html.read_text()
    assert "<img" not in page
    assert "Images to look at first" not in page


def test_a_reference_keeps_small_pictures_of_its_own(tmp_path, write_run, scenes):
    path = build_reference(write_run(scenes.accepted), tmp_path / "reference.parquet")
    kept = reference_pictures(path)
    assert [row for row, _ in kept] == [0, 5, 11, 16, 21, 27, 32, 38, 43, 48, 54, 59]
    assert [picture.name for _, picture in kept] == [
        scenes.accepted["image_id"][row] for row, _ in kept
    ]
    for _, picture in kept:
        encoded = base64.b64decode(picture.source.removeprefix("data:image/jpeg;base64,"))
        assert max(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR).shape) == 160
    assert path.stat().st_size < 300_000


def test_a_reference_without_places_of_images_keeps_none(tmp_path, write_run, ordinary):
    assert (
        reference_pictures(build_reference(write_run(ordinary(60)), tmp_path / "reference.parquet"))
        == []
    )


def test_a_thumbnail_keeps_the_shape_and_never_grows(tmp_path):
    for shape, expected in (((300, 900), (53, 160)), ((20, 10), (20, 10)), ((2000, 1), (160, 1))):
        path = tmp_path / "image.png"
        cv2.imwrite(str(path), np.full((*shape, 3), 90, np.uint8))
        source = picture_of("x", str(path)).source
        encoded = np.frombuffer(base64.b64decode(source.partition(",")[2]), np.uint8)
        assert cv2.imdecode(encoded, cv2.IMREAD_COLOR).shape[:2] == expected
    assert picture_of("x", None) is None
    assert picture_of("x", "nowhere://bucket/x.jpg") is None


def table_of(**columns):
    return DriftTable(columns, "digits/3", 2, 0)


@pytest.mark.parametrize("kind", ["number", "category", "missing", "vector"])
def test_scores_rank_the_drifted_images_first_whatever_kind_of_column_moved(kind):
    rng, new = np.random.default_rng(0), np.arange(100) < 20
    calm, fresh = rng.normal(size=300), rng.normal(size=100)
    column = "x"
    if kind == "number":
        sides = calm, fresh + 6 * new
    elif kind == "category":
        sides = np.where(calm > 0, "a", "b"), np.where(new, "c", np.where(fresh > 0, "a", "b"))
    elif kind == "missing":
        sides, column = (calm, np.where(new, np.nan, fresh)), "x (missing)"
    else:
        sides = rng.normal(size=(300, 8)), rng.normal(size=(100, 8)) + 6 * new[:, None]
    _, scores, features = drift_scores(table_of(x=sides[0]), table_of(x=sides[1]), [column])
    assert set(np.argsort(-scores, kind="stable")[:20]) == set(range(20))
    assert len(features) == 100


def test_representatives_are_different_images_among_the_most_drifted_fifth():
    rng = np.random.default_rng(1)
    features = np.repeat(np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), 10, axis=0) + rng.normal(
        0, 0.01, (30, 2)
    )
    features = np.concatenate([features, rng.normal(50, 1, (120, 2))])
    scores = np.concatenate([np.linspace(2, 1, 30), np.zeros(120)])
    chosen = representatives(scores, features, 3)
    assert chosen[0] == 0
    assert {row // 10 for row in chosen} == {0, 1, 2}
    assert sorted(representatives(scores[:4], features[:4], 8)) == [0, 1, 2, 3]
