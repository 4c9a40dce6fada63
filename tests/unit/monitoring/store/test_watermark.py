"""Which images are new: each is handed out until its window is committed, and never again."""

from __future__ import annotations

import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from components.errors import ConfigError, DatasetError
from components.images.sources import ImageSource, fingerprint, list_images
from components.monitoring import Watermark

NIGHT = datetime(2026, 3, 10, 2, tzinfo=UTC)
SOURCE = "memory://shots"


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    if request.param == "local":
        yield str(tmp_path / "store")
    else:
        url = f"memory://{uuid.uuid4().hex}/store"
        yield url
        fsspec.core.url_to_fs(url)[0].rm(url, recursive=True)


@pytest.fixture
def watermark(root) -> Watermark:
    return Watermark(root, "digits", SOURCE)


def shots(*names: str, state: str = "") -> list[ImageSource]:
    return [ImageSource(name, f"memory://shots/{name}", state) for name in names]


def taken(watermark: Watermark, images: list[ImageSource], **options: int) -> list[str]:
    """A night without failures: the ids of its images."""
    window = watermark.next_window(images, at=NIGHT, **options)
    if window is None:
        return []
    watermark.commit(window)
    return [image.image_id for image in window.images]


def test_every_night_takes_what_is_new_however_late_it_arrives(watermark):
    assert taken(watermark, shots("b.jpg", "d.jpg")) == ["b.jpg", "d.jpg"]
    assert taken(watermark, shots("a.jpg", "b.jpg", "c.jpg", "d.jpg")) == ["a.jpg", "c.jpg"]
    assert taken(watermark, shots("a.jpg", "b.jpg", "c.jpg", "d.jpg")) == []


def test_pending_window_is_returned_exactly_as_it_was_planned(watermark, root):
    images = shots("a.jpg", "b.jpg", state="etag-1")
    planned = watermark.next_window(images, at=NIGHT)
    later = shots("a.jpg", "b.jpg", "c.jpg", state="etag-2")
    resumed = Watermark(root, "digits", SOURCE).next_window(later, at=NIGHT + timedelta(days=1))
    assert planned is not None and resumed == planned
    assert [fingerprint(image) for image in resumed.images] == [
        fingerprint(image) for image in images
    ]
    watermark.commit(resumed)
    assert taken(watermark, later) == ["a.jpg", "b.jpg", "c.jpg"]


def test_changed_content_under_an_old_name_is_new(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "shots" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "shots" / name).write_bytes(b"one")
    watermark = Watermark(tmp_path / "store", "digits", tmp_path / "shots")
    assert taken(watermark, list(list_images(tmp_path / "shots"))) == ["a.jpg", "b.jpg"]
    (tmp_path / "shots" / "b.jpg").write_bytes(b"another")
    assert taken(watermark, list(list_images(tmp_path / "shots"))) == ["b.jpg"]


def test_limit_leaves_the_rest_for_the_next_windows(watermark):
    images = shots("a.jpg", "b.jpg", "c.jpg")
    assert taken(watermark, images, limit=2) == ["a.jpg", "b.jpg"]
    assert taken(watermark, images, limit=2) == ["c.jpg"]
    with pytest.raises(ConfigError, match="at least 1"):
        watermark.next_window(images, at=NIGHT, limit=0)


def test_image_that_is_listed_twice_is_taken_once(watermark):
    assert taken(watermark, shots("a.jpg", "a.jpg")) == ["a.jpg"]


def test_models_and_sources_have_ledgers_of_their_own(root, watermark):
    assert taken(watermark, shots("a.jpg")) == ["a.jpg"]
    assert taken(Watermark(root, "parts", SOURCE), shots("a.jpg")) == ["a.jpg"]
    assert taken(Watermark(root, "digits", "memory://other"), shots("a.jpg")) == ["a.jpg"]


def test_two_nights_at_once_have_one_window_and_commit_it_once(watermark, root):
    other = Watermark(root, "digits", SOURCE)
    mine = watermark.next_window(shots("a.jpg"), at=NIGHT)
    theirs = other.next_window(shots("a.jpg", "b.jpg"), at=NIGHT + timedelta(seconds=1))
    assert mine is not None and mine == theirs
    watermark.commit(mine)
    following = watermark.next_window(shots("a.jpg", "b.jpg"), at=NIGHT)
    other.commit(mine)
    assert following is not None and [image.image_id for image in following.images] == ["b.jpg"]
    assert other.next_window(shots("a.jpg", "b.jpg"), at=NIGHT) == following


def test_plan_of_a_slow_process_does_not_bring_back_committed_images(tmp_path):
    """It looked before the window was committed, and wrote its plan after."""
    watermark = Watermark(tmp_path, "digits", SOURCE)
    window = watermark.next_window(shots("a.jpg"), at=NIGHT)
    (plan,) = tmp_path.rglob("plans/*.parquet")
    shutil.copy(plan, tmp_path / "kept")
    watermark.commit(window)
    shutil.copy(tmp_path / "kept", plan)
    assert watermark.next_window(shots("a.jpg"), at=NIGHT) is None
    assert not list(tmp_path.rglob("plans/*.parquet"))


def test_only_the_pending_window_can_be_committed(watermark, root):
    window = watermark.next_window(shots("a.jpg"), at=NIGHT)
    elsewhere = Watermark(root, "parts", SOURCE)
    with pytest.raises(ConfigError, match="while none is"):
        elsewhere.commit(window)
    elsewhere.next_window(shots("b.jpg"), at=NIGHT)
    with pytest.raises(ConfigError, match="the pending window"):
        elsewhere.commit(window)


def test_naive_time_and_unsafe_name_are_refused(watermark, root):
    with pytest.raises(ConfigError, match="time zone"):
        watermark.next_window(shots("a.jpg"), at=NIGHT.replace(tzinfo=None))
    with pytest.raises(ConfigError, match="name"):
        Watermark(root, "../digits", SOURCE)
    assert taken(watermark, shots("a.jpg")) == ["a.jpg"]


def test_damaged_ledger_is_reported_and_takes_nothing_twice(tmp_path):
    watermark = Watermark(tmp_path, "digits", SOURCE)
    taken(watermark, shots("a.jpg"))
    ledger: Path = next(tmp_path.rglob("ledger/*.parquet"))
    ledger.write_bytes(b"damaged")
    with pytest.raises(DatasetError, match="a whole file"):
        watermark.next_window(shots("a.jpg"), at=NIGHT)


def test_a_window_keeps_the_version_that_it_was_planned_for(watermark):
    images = shots("a.jpg")
    assert watermark.next_window(images, at=NIGHT, version="3").version == "3"
    resumed = watermark.next_window(images, at=NIGHT + timedelta(days=1), version="4")
    assert resumed.version == "3", "although another one was promoted"
    watermark.commit(resumed)
    assert watermark.next_window(shots("b.jpg"), at=NIGHT, version="4").version == "4"


def test_when_images_were_last_found_is_known_and_before_the_first_one_when_they_were_looked_for(
    watermark,
):
    assert watermark.last_found(at=NIGHT) == NIGHT
    assert watermark.last_found(at=NIGHT + timedelta(days=1)) == NIGHT
    for day in (2, 3):
        window = watermark.next_window(shots(f"{day}.jpg"), at=NIGHT + timedelta(days=day))
        watermark.commit(window)
    assert watermark.last_found(at=NIGHT + timedelta(days=9)) == NIGHT + timedelta(days=3)


def test_a_plan_holds_no_secret_and_finds_it_again_in_the_listing(tmp_path):
    watermark = Watermark(tmp_path / "store", "digits", "shots.txt")
    images = [
        ImageSource(f"{name}", f"https://host/{name}?token=hush") for name in ("a.jpg", "b.jpg")
    ]
    planned = watermark.next_window(images, at=NIGHT)
    resumed = Watermark(tmp_path / "store", "digits", "shots.txt").next_window(images[:1], at=NIGHT)
    assert planned is not None and resumed is not None
    assert [image.uri for image in planned.images] == [image.uri for image in images]
    assert [image.uri for image in resumed.images] == [images[0].uri, "https://host/b.jpg?token=…"]
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and b"hush" in path.read_bytes()
    ]
