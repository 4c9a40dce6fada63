"""Images, their numbers, labels and listings, for anything hypothesis thinks of."""

from __future__ import annotations

import csv
import io
import os
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from components.contracts import Detections
from components.datasets.dataset import load_dataset
from components.errors import ImageError
from components.images.names import local_path, local_uri, original, printable
from components.images.reading import read_image
from components.images.sources import IMAGE_SUFFIXES, list_images
from components.images.statistics import IMAGE_COLUMNS, image_statistics

FAST = settings(max_examples=60, deadline=None)
SIGNATURES = [
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"II*\0",
    b"MM\0*",
    b"RIFF\x20\0\0\0WEBPVP8L",
    b"BM",
    b"GIF8",
]
NAMES = st.text(
    st.characters(exclude_characters="/", exclude_categories=("C", "Z")), min_size=1, max_size=8
)


def images(side: int = 24) -> Any:
    sides = st.integers(1, side)
    return st.tuples(sides, sides).flatmap(lambda size: arrays.arrays(np.uint8, (*size, 3)))


@FAST
@given(
    images(),
    st.sampled_from([("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]),
)
def test_what_is_written_without_loss_is_read_without_loss(image, how):
    buffer = io.BytesIO()
    Image.fromarray(image[..., ::-1].copy()).save(buffer, how[0], **how[1])
    assert np.array_equal(read_image(buffer.getvalue()), image)


@FAST
@given(st.sampled_from(SIGNATURES), st.binary(max_size=300))
def test_hostile_bytes_give_an_image_error_and_nothing_else(signature, rest):
    with pytest.raises(ImageError):
        read_image(signature + rest)


@FAST
@given(images(), st.sampled_from([".jpg", ".png", ".bmp"]), st.data())
def test_damage_gives_an_image_or_an_image_error(image, suffix, data):
    encoded = bytearray(cv2.imencode(suffix, image)[1].tobytes())
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_image(bytes(encoded))
    except ImageError as error:
        assert "\n" not in str(error)
    else:
        assert found.ndim == 3 and found.dtype == np.uint8


@FAST
@given(images(300))
def test_statistics_stay_in_their_ranges_and_do_not_know_left_from_right(image):
    found = image_statistics(image)
    assert tuple(found) == IMAGE_COLUMNS
    assert all(0 <= found[name] <= 255 for name in ("brightness", "blue", "green", "red"))
    assert 0 <= found["contrast"] <= 127.5
    assert 0 <= found["saturation"] <= 1
    assert 0 <= found["edge_density"] <= 1
    assert 0 <= found["entropy"] <= 8
    assert found["blockiness"] >= 1 - 1e-6
    assert found["sharpness"] >= 0 and found["colourfulness"] >= 0
    if max(image.shape) <= 256:
        mirrored = image_statistics(np.ascontiguousarray(image[:, ::-1]))
        for name in ("brightness", "contrast", "colourfulness", "entropy", "sharpness"):
            assert mirrored[name] == pytest.approx(found[name], abs=1e-3, rel=1e-4)


@st.composite
def labelled_images(draw):
    width, height = draw(st.integers(4, 60)), draw(st.integers(4, 60))
    boxes = []
    for _ in range(draw(st.integers(1, 5))):
        left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        boxes.append(
            (left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height)))
        )
    classes = draw(st.lists(st.integers(0, 2), min_size=len(boxes), max_size=len(boxes)))
    return width, height, list(dict.fromkeys(zip(classes, boxes, strict=True)))


@settings(max_examples=30, deadline=None)
@given(labelled_images(), st.booleans())
def test_boxes_survive_the_way_through_a_label_file(labelled, as_polygons):
    width, height, rows = labelled
    lines = []
    for class_id, (left, top, right, bottom) in rows:
        if as_polygons:
            points = [(left, top), (right, top), (right, bottom), (left, bottom)]
            numbers = [value for x, y in points for value in (x / width, y / height)]
        else:
            centre = (left + right) / 2 / width, (top + bottom) / 2 / height
            numbers = [*centre, (right - left) / width, (bottom - top) / height]
        lines.append(" ".join([str(class_id), *(f"{number:.6f}" for number in numbers)]))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "images").mkdir()
        (root / "labels").mkdir()
        Image.new("RGB", (width, height)).save(root / "images" / "a.png")
        (root / "labels" / "a.txt").write_text("\n".join(lines))
        (root / "data.yaml").write_text(yaml.safe_dump({"names": ["a", "b", "c"], "val": "images"}))
        truth = load_dataset(root, "val").images[0].truth
    assert isinstance(truth, Detections)
    assert truth.class_ids.tolist() == [class_id for class_id, _ in rows]
    assert np.abs(truth.xyxy - np.array([box for _, box in rows])).max() < 1e-3


@settings(max_examples=30, deadline=None)
@given(st.sets(NAMES, max_size=6))
def test_a_manifest_gives_back_every_path(names):
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "all.csv"
        with manifest.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [["path"], ["first.jpg"], *([f"x/{name}"] for name in names)]
            )
        wanted = {"first.jpg", *(f"x/{name}" for name in names)}
        assert {image.image_id: image.uri for image in list_images(manifest)} == {
            printable(name): local_uri(os.path.normpath(os.path.join(folder, name)))
            for name in wanted
        }


@settings(max_examples=30, deadline=None)
@given(
    st.sets(
        st.tuples(
            st.sampled_from(
                [
                    "",
                    "shots-of-the-day",
                    "shots-of-the-day/[é]",
                    ".hidden-folder",
                    "shots-of-the-day/.x",
                ]
            ),
            NAMES,
            st.sampled_from([".jpg", ".PNG", ".tiff", ".txt", ""]),
        ),
        max_size=8,
    )
)
def test_a_folder_lists_exactly_its_visible_images(files):
    with tempfile.TemporaryDirectory() as folder:
        wanted = []
        for parent, stem, suffix in {("", "plain", ".jpg"), *files}:
            path = Path(folder, parent, stem + suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_dir():
                path.touch()
                hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
                if path.suffix.lower() in IMAGE_SUFFIXES and not hidden:
                    wanted.append(path.relative_to(folder).as_posix())
        assert [image.image_id for image in list_images(folder)] == sorted(map(printable, wanted))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name), max_size=4)
)
def test_a_name_of_any_bytes_can_be_printed_and_leads_back_to_its_file(names):
    shown = [printable(os.fsdecode(name)) for name in names]
    assert [os.fsencode(original(text)) for text in shown] == names
    assert len(set(shown)) == len(set(names))
    for name, text in zip(names, shown, strict=True):
        uri = local_uri(f"/shots/{os.fsdecode(name)}")
        assert os.fsencode(local_path(uri)) == b"/shots/" + name
        for told in (text, uri):
            assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in told)
