"""Labels survive the way to a tool's file and back; any file is read or refused in one line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.datasets.checks import box_problem, check_labels
from components.datasets.coco import read_coco, write_coco
from components.datasets.dataset import load_dataset
from components.datasets.formats import read_labels
from components.datasets.label_studio import CONFIG, read_tasks, write_tasks
from components.datasets.labels import Label, LabelTask, QueuedImage
from components.errors import DatasetError

text = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=12
)
share = st.floats(0, 1).map(lambda value: round(value, 6))
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def queues(draw) -> tuple[LabelTask, list[QueuedImage]]:
    names = draw(st.lists(text, min_size=1, max_size=4, unique=True))
    images = []
    for number in range(draw(st.integers(1, 4))):
        labels = []
        for _ in range(draw(st.integers(0, 3))):
            (left, right), (top, bottom) = (sorted(draw(st.tuples(share, share))) for _ in range(2))
            labels.append(
                Label(draw(st.sampled_from(names)), (left, top, right, bottom), draw(share))
            )
        width, height = draw(st.integers(1, 9000)), draw(st.integers(1, 9000))
        name = f"{draw(text)}/{number}.jpg"
        images.append(
            QueuedImage(
                name, name, f"{number:064x}", width, height, "w", "m/1", 1, 1, 1, tuple(labels)
            )
        )
    return LabelTask("detect", tuple(names)), images


def assert_same(found, image: QueuedImage) -> None:
    assert [label.class_name for label in found.labels] == [
        label.class_name for label in image.prelabels
    ]
    for one, other in zip(found.labels, image.prelabels, strict=True):
        assert one.box == pytest.approx(other.box, abs=1e-9)


@quick
@given(queues())
def test_label_studio(tmp_path, queue):
    about, images = queue
    file = write_tasks(
        images, {image.sha256: f"images/{image.name}" for image in images}, tmp_path, about
    )
    tasks = json.loads(file.read_text())
    file.write_text(
        json.dumps([{**task, "annotations": [task["predictions"][0]]} for task in tasks])
    )
    for found, image in zip(read_tasks(json.loads(file.read_text()), file), images, strict=True):
        assert (found.sha256, found.name) == (image.sha256, image.image_id)
        assert_same(found, image)
    offered = [
        entry.attrib["value"]
        for entry in ElementTree.parse(tmp_path / CONFIG).iter("Label")  # noqa: S314
    ]
    assert offered == list(about.class_names)


@quick
@given(queues())
def test_coco(tmp_path, queue):
    about, images = queue
    file = write_coco(
        images, {image.sha256: f"images/{image.name}" for image in images}, tmp_path, about
    )
    for found, image in zip(
        read_coco(json.loads(file.read_text()), file, about), images, strict=True
    ):
        assert found.name == f"images/{image.name}"
        assert_same(found, image)


number = st.one_of(
    st.floats(-2, 3),
    st.sampled_from(
        [float("nan"), float("inf"), -float("inf"), 0, 1, 10**400, -1, 1e308, None, "1", []]
    ),
)
pixels = st.one_of(st.integers(-10, 5000), number)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                [
                    "images",
                    "annotations",
                    "categories",
                    "id",
                    "data",
                    "image",
                    "result",
                    "bbox",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def assert_taken_or_refused_in_a_line(file, about) -> None:
    """Read a file: what is taken has boxes as they must be, what is not is one short line."""
    try:
        found = read_labels(file, about)
    except DatasetError as error:
        assert "\n" not in str(error) and len(str(error)) < 1500
        return
    for one in found:
        assert "\n" not in one.problem and len(one.problem) < 1000
        checked = check_labels(one.labels or (), about)
        for label in checked.labels:
            left, top, right, bottom = label.box
            assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
            assert not box_problem(label.box)


DETECT = LabelTask("detect", ("0", "1"))


@quick
@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(pixels, max_size=5)), max_size=6), pixels, pixels
)
def test_any_numbers_in_coco(tmp_path, boxes, width, height):
    document = {
        "images": [
            {"id": k, "file_name": f"{k}.jpg", "width": width, "height": height} for k in range(3)
        ],
        "annotations": [
            {"id": n, "image_id": k, "category_id": 0, "bbox": box}
            for n, (k, box) in enumerate(boxes)
        ],
        "categories": [{"id": 0, "name": "0"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    assert_taken_or_refused_in_a_line(tmp_path / "coco.json", DETECT)


@quick
@given(
    st.lists(st.tuples(number, number, number, number, number), max_size=4), pixels, pixels, pixels
)
def test_any_numbers_in_label_studio(tmp_path, boxes, width, height, turned):
    regions = [
        {
            "type": "rectanglelabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": turned,
            "value": {
                "x": x,
                "y": y,
                "width": w,
                "height": h,
                "rotation": angle,
                "rectanglelabels": ["1"],
            },
        }
        for x, y, w, h, angle in boxes
    ]
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": regions}]}
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    assert_taken_or_refused_in_a_line(tmp_path / "tasks.json", DETECT)


@quick
@given(st.one_of(documents, st.text(max_size=40)))
def test_any_document(tmp_path, document):
    text = document if isinstance(document, str) else json.dumps(document)
    for name in ("labels.json", "data.yaml"):
        (tmp_path / name).write_text(text)
        assert_taken_or_refused_in_a_line(tmp_path / name, DETECT)
    with pytest.raises(DatasetError):
        load_dataset(tmp_path / "data.yaml", "val")


@quick
@given(st.lists(st.lists(st.one_of(st.integers(-1, 3), number), max_size=9), max_size=5))
def test_any_rows_in_a_yolo_file(tmp_path, rows):
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "classes.txt").write_text("0\n1\n")
    (tmp_path / "labels" / "a.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows))
    assert_taken_or_refused_in_a_line(tmp_path, DETECT)


DEEP = {
    "labels.json": "[" * 100_000,
    "coco.json": '{"images": ' * 50_000,
    "data.yaml": "names: " + "[" * 5_000,
    "dataset.yaml": "a0: &a0 [x, x]\n"
    + "\n".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]" for k in range(1, 60))
    + "\nnames: *a59\n",
    "itself.yaml": "names: &a [*a]\nval: images\n",
    "long.yaml": f"names: {{cat: {'x' * 2_000_000}}}\nval: images\n",
    "names.yaml": f"names: [{', '.join('c' for _ in range(200_000))}]\nnc: 3\nval: images\n",
    "digits.json": f"[{'9' * 100_000}]",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DEEP)
def test_deep_endless_and_long_documents_are_one_short_line(tmp_path, name):
    (tmp_path / name).write_text(DEEP[name])
    with pytest.raises(DatasetError) as caught:
        read_labels(tmp_path / name, DETECT)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1500
