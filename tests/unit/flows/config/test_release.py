"""The parameter of a model's task: forms offer what the table has; nothing else is taken."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from components.vision import TASKS
from flows.config.release import ModelInput


def test_form_offers_the_tasks_of_the_table():
    schema = ModelInput.model_json_schema()
    assert schema["properties"]["task"]["anyOf"] == [{"$ref": "#/$defs/TaskType"}, {"type": "null"}]
    assert schema["$defs"]["TaskType"] == {
        "description": "Task of a model, which decides the kind of its predictions.",
        "enum": ["detect", "classify"],
        "title": "TaskType",
        "type": "string",
    }


def test_unknown_task_is_refused_with_those_that_are_known():
    with pytest.raises(ValidationError, match="'detect' or 'classify'"):
        ModelInput(path="model.onnx", task="count")


def test_task_of_a_new_line_in_the_table_is_offered_and_taken(monkeypatch):
    monkeypatch.setitem(TASKS, "count", "tests.toy.plugins:CountThings")
    assert ModelInput.model_json_schema()["$defs"]["TaskType"]["enum"] == [
        "detect",
        "classify",
        "count",
    ]
    assert ModelInput(path="model.onnx", task="count").model_dump(mode="json")["task"] == "count"
