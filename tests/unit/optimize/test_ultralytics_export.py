from __future__ import annotations

import pytest

from components.contracts import Fit
from components.errors import ModelError
from components.optimize.meaning import Fitting
from components.optimize.opening.ultralytics_export import stated_by_metadata

pytestmark = pytest.mark.slow


def test_text_and_plain_values_say_the_same():
    text = {"task": "detect", "names": "{10: 'k', 2: 'b'}", "imgsz": "[320, 640]"}
    plain = {"task": "detect", "names": {"10": "k", "2": "b"}, "imgsz": [320, 640]}
    stated = stated_by_metadata(text, "m.onnx", resizable=False)
    assert stated == stated_by_metadata(plain, "m.onnx", resizable=False)
    assert stated.class_names == ("b", "k"), "in the order of the class ids, as numbers"
    assert (stated.task, stated.input_size, stated.fit) == (
        "detect",
        (320, 640),
        Fitting(Fit.LETTERBOX),
    )


@pytest.mark.parametrize(
    "names", ["__import__('os').mkdir('x')", "{" * 5000, "{0: 'a'", "'" + "a" * 5_000_000 + "'"]
)
def test_names_are_data_and_never_run(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError):
        stated_by_metadata(
            {"task": "classify", "names": names, "imgsz": "[64, 64]"}, "m.onnx", resizable=True
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["segment", "pose", "obb"])
def test_tasks_that_are_not_supported_are_named(task):
    with pytest.raises(ModelError, match=f"detect or classify.*{task}"):
        stated_by_metadata({"task": task, "names": "{}", "imgsz": "64"}, "m.onnx", resizable=True)
