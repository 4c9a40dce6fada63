"""Measures of source trees: each counts what its docstring says."""

from __future__ import annotations

import ast

import pytest

from benchmarks.source_measures import (
    Module,
    added_by_wrapping,
    branches,
    files_by_folder,
    functions,
    measure_source,
    parse_module,
    uses_of_any,
)


def module(text: str, path: str = "components/optimize/proof.py") -> Module:
    return parse_module(path, text)


def test_lines_of_code_have_no_docstrings_comments_and_blank_lines():
    text = (
        '"""A module,\n\nat length."""\n\n# why\nx = """text\n\nof data"""  # its own\n\n'
        'def f():\n    """Do."""\n    return x\n'
    )
    assert (module(text).lines, module(text).code) == (12, 4)


WORDS = "word " * 23  # 115 columns


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        ([WORDS.strip()], 1),
        ([WORDS.strip(), "short"], 0),  # flows on to the next line of the paragraph
        ([WORDS.strip()] * 5, 1),
        ([WORDS.strip()] * 7, 2),
        ([WORDS.strip(), "", "short"], 1),
        (["    " + WORDS.strip(), "short"], 1),
        (["    " + "x" * 96, "    " + "x" * 96], 0),
    ],
)
def test_longer_lines_of_prose_count_as_wrapped_at_100_columns(lines, added):
    assert added_by_wrapping(lines) == added


def test_docstrings_and_comments_are_wrapped_and_code_is_not():
    long = "word " * 25
    assert module(f'"""{long}"""\n').lines == 2
    assert module(f"# {long}\n").lines == 2
    assert module(f"x = '{long}'\n").lines == 1
    assert module(f'"""{long}"""\n').code == 0


@pytest.mark.parametrize(
    "text",
    [
        "if spec.task is not TaskType.DETECT: pass",
        "x = a if contracts.TaskType.DETECT == task else b",
        "if task in (TaskType.DETECT, TaskType.CLASSIFY): pass",
        "if spec['task'] == 'classify': pass",
        "if backend == 'openvino': pass",
        "if backend not in {'tensorrt', 'torch'}: pass",
        "if 'onnxruntime' in backends: pass",
        "isinstance(truth, Detections)",
        "isinstance(truth, (Classification, str))",
        "isinstance(truth, contracts.Detections | None)",
        "match task:\n    case TaskType.DETECT: pass",
        "match truth:\n    case Detections(boxes=b): pass",
        "match name:\n    case 'torch' | 'other': pass",
    ],
)
def test_a_question_of_task_or_backend_is_a_branch(text):
    assert len(branches(module(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "task = TaskType.DETECT",
        "table = {TaskType.DETECT: nms, 'openvino': Openvino}",
        "if 'torch' in sys.modules: pass",
        "if spec.head is Head.LOGITS: pass",
        "isinstance(path, Path)",
        "if task == other: pass",
        "match name:\n    case 'png': pass\n    case _: pass",
    ],
)
def test_anything_else_is_none(text):
    assert branches(module(text)) == []


@pytest.mark.parametrize(
    "path",
    [
        "components/vision/detect.py",
        "components/backends/torch.py",
        "components/datasets/formats/coco.py",
    ],
)
def test_a_plug_in_may_ask(path):
    assert branches(module("if task is TaskType.DETECT: pass", path)) == []


def test_parameters_are_counted_without_self_and_a_command_is_marked():
    method = "class A:\n    def f(self, a, /, b, *c, d, **e): pass\n"
    text = method + "@app.command(name='x')\ndef g(\n    a,\n    b,\n): pass\n"
    found = list(functions(module(text, "flows/cli/main.py")))
    assert {(one.name, one.parameters, one.lines, one.is_command) for one in found} == {
        ("f", 5, 1, False),
        ("g", 2, 4, True),
    }


def test_any_is_counted_where_it_is_a_type():
    assert (
        uses_of_any(
            ast.parse("from typing import Any\nx: dict[str, Any] = {}\ny: typing.Any = any(x)\n")
        )
        == 2
    )


def test_a_tree_is_measured_as_a_whole():
    found = measure_source(
        [
            module("def f(a): pass\n", "flows/a.py"),
            module("x: Any\n\ny = 1\n", "flows/b.py"),
            module("", "foveal/a.py"),
        ]
    )
    assert (found.folder_files, found.file_lines, found.lines, found.parameters) == (2, 3, 4, 1)
    assert found.any_per_1000 == 250
    assert files_by_folder([module("", "flows/a/b.py")]) == {"flows/a": 1}
