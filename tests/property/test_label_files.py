"""Labels survive the way to a tool's file and back, whatever classes and images are called."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.contracts import TaskType
from components.images.coco import read_coco, write_coco
from components.images.label_studio import CONFIG, read_tasks, write_tasks
from components.images.labels import Label, LabelTask, QueuedImage

text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=12)
share = st.floats(0, 1).map(lambda value: round(value, 6))
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def queues(draw) -> tuple[LabelTask, list[QueuedImage]]:
    names = draw(st.lists(text, min_size=1, max_size=4, unique=True))
    images = []
    for number in range(draw(st.integers(1, 4))):
        labels = []
        for _ in range(draw(st.integers(0, 3))):
            (left, right), (top, bottom) = (sorted(draw(st.tuples(share, share))) for _ in range(2))
            labels.append(Label(draw(st.sampled_from(names)), (left, top, right, bottom), draw(share)))
        width, height = draw(st.integers(1, 9000)), draw(st.integers(1, 9000))
        name = f"{draw(text)}/{number}.jpg"
        images.append(QueuedImage(name, name, f"{number:064x}", width, height, "w", "m/1", 1, 1, 1, tuple(labels)))
    return LabelTask(TaskType.DETECT, tuple(names)), images


def assert_same(found, image: QueuedImage) -> None:
    assert [label.class_name for label in found.labels] == [label.class_name for label in image.prelabels]
    for one, other in zip(found.labels, image.prelabels, strict=True):
        assert one.box == pytest.approx(other.box, abs=1e-9)


@quick
@given(queues())
def test_label_studio(tmp_path, queue):
    about, images = queue
    file = write_tasks(images, {image.sha256: f"images/{image.name}" for image in images}, tmp_path, about)
    tasks = json.loads(file.read_text())
    file.write_text(json.dumps([{**task, "annotations": [task["predictions"][0]]} for task in tasks]))
    for found, image in zip(read_tasks(json.loads(file.read_text()), file), images, strict=True):
        assert (found.sha256, found.name) == (image.sha256, image.image_id)
        assert_same(found, image)
    offered = [entry.attrib["value"] for entry in ElementTree.parse(tmp_path / CONFIG).iter("Label")]  # noqa: S314
    assert offered == list(about.class_names)


@quick
@given(queues())
def test_coco(tmp_path, queue):
    about, images = queue
    file = write_coco(images, {image.sha256: f"images/{image.name}" for image in images}, tmp_path, about)
    for found, image in zip(read_coco(json.loads(file.read_text()), file, about), images, strict=True):
        assert found.name == f"images/{image.name}"
        assert_same(found, image)
