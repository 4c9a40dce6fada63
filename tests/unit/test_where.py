"""The page that says where things are: every file exists, and defines what the page names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "where.md").read_text(encoding="utf-8")
PATH = re.compile(r"`((?:components|flows|model_registry)/[\w./]+)`")
ROW = re.compile(r"^\| `([\w./]+\.py)` \|(.*?)\|", re.MULTILINE)
ROWS = [(path, tuple(re.findall(r"`([\w.]+)`", names))) for path, names in ROW.findall(PAGE)]


@cache
def defined_in(path: str) -> frozenset[str]:
    """Functions, classes, their methods and constants of a module, as the page writes them."""
    return frozenset(_names(ast.parse((ROOT / path).read_text(encoding="utf-8")).body))


def _names(body: list[ast.stmt], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            found |= _names(node.body, f"{prefix}{node.name}.")
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {
                prefix + name.id
                for target in targets
                for name in ast.walk(target)
                if isinstance(name, ast.Name)
            }
    return found


def test_page_answers_the_questions_of_a_newcomer():
    assert len(re.findall(r"^## .*\?$", PAGE, re.MULTILINE)) >= 12
    assert len(ROWS) == len(re.findall(r"^\| `", PAGE, re.MULTILINE)) > 80


def test_every_file_exists():
    assert [path for path in PATH.findall(PAGE) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize(
    ("path", "names"), ROWS, ids=[f"{number}-{path}" for number, (path, _) in enumerate(ROWS)]
)
def test_every_name_is_defined_in_its_file(path, names):
    assert sorted(set(names) - defined_in(path)) == []


def test_name_that_is_not_defined_is_missed():
    assert {"Watermark.commit", "Watermark"} <= defined_in(
        "components/monitoring/store/watermark.py"
    )
    assert "PASSES" in defined_in("components/optimize/passes/table.py")
    assert "import_module" not in defined_in("components/optimize/passes/table.py")
