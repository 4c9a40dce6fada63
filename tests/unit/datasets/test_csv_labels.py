"""Labels as CSV: one row an object, and what is wrong with a row is said by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.datasets.formats import LabelFormat, export_labels, read_labels
from components.datasets.labels import Label, LabelTask, QueuedImage
from components.errors import DatasetError

DETECT = LabelTask("detect", ("car", "dog"))
CLASSIFY = LabelTask("classify", ("car", "dog"))
BOXES = "image,class,x1,y1,x2,y2,width,height\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "labels.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_rows_of_an_image_are_its_labels_and_one_without_a_class_is_nobodys_word(tmp_path):
    rows = "a.jpg,car,10,20,30,40,100,200\nb.jpg,,,,,,,\na.jpg,dog,0,0,100,200,100,200\n"
    first, second = read_labels(written(tmp_path, BOXES + rows), DETECT)
    assert (first.name, first.size, first.problem) == ("a.jpg", (100, 200), "")
    assert first.labels == (Label("car", (0.1, 0.1, 0.3, 0.2)), Label("dog", (0, 0, 1, 1)))
    assert (second.name, second.labels, second.stated) == ("b.jpg", (), False)


def test_columns_come_in_any_order_beside_others_and_with_a_byte_order_mark(tmp_path):
    text = "\ufeffClass , note, image\ncar,x,a.jpg\n,,b.jpg\n"
    first, second = read_labels(written(tmp_path, text), CLASSIFY)
    assert first.labels == (Label("car"),)
    assert second.labels is None, "nobody has labelled it"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a.jpg,car,ten,20,30,40,100,200", "line 2: x1 is 'ten', and not a number"),
        ("a.jpg,car,10,20,30,,100,200", "line 2: y2 is '', and not a number"),
        ("a.jpg,car,10,20,30,40,0,200", "line 2 gives the image's size as 0 × 200"),
        ("a.jpg,car,10,20,30,40,nan,200", "line 2 gives the image's size as nan × 200"),
        (
            "a.jpg,car,1,2,3,4,100,200\na.jpg,car,1,2,3,4,200,100",
            "line 2 and later give the image different sizes",
        ),
        (",car,1,2,3,4,100,200", "line 2 names no image"),
    ],
)
def test_a_bad_row_costs_its_image_alone_and_is_named(row, problem, tmp_path):
    good = "z.jpg,dog,1,2,3,4,100,200\n"
    found = read_labels(written(tmp_path, f"{BOXES}{row}\n{good}"), DETECT)
    assert found[0].problem == problem
    assert found[1].problem == "" and found[1].labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,class\na.jpg,car\n", "without x1, y1, x2, y2, width, height"),
        ("", "without image, class"),
        ('image,class,x1,y1,x2,y2,width,height\n"a.jpg', "unexpected end of data"),
    ],
)
def test_a_file_that_is_none_is_one_clear_line(text, message, tmp_path):
    with pytest.raises(DatasetError, match=message) as caught:
        read_labels(written(tmp_path, text), DETECT)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_one_clear_line(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"image,class\n\xff\xfe,car\n")
    with pytest.raises(DatasetError, match="save it as UTF-8 CSV"):
        read_labels(tmp_path / "x.csv", CLASSIFY)


def test_an_export_is_read_back_and_its_copies_are_found(tmp_path):
    import hashlib

    (tmp_path / "a.jpg").write_bytes(b"pixels")
    sha256 = hashlib.sha256(b"pixels").hexdigest()
    labels = (Label("car", (0.1, 0.25, 0.5, 0.75), 0.9),)
    place = str(tmp_path / "a.jpg")
    image = QueuedImage("a.jpg", place, sha256, 100, 200, "w", "parts/3", 0.9, 0.5, 0.4, labels)
    out = export_labels([image], tmp_path / "out", LabelFormat.CSV, DETECT).folder
    (found,) = read_labels(out, DETECT)
    assert found.labels == (Label("car", (0.1, 0.25, 0.5, 0.75)),)
    assert found.file is not None and found.file.read_bytes() == b"pixels"
