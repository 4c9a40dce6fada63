"""The page on the layout: its packages, layers, types and plug-ins are those of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from components import contracts
from components.backends import BACKENDS
from components.datasets.formats import DATASET_FORMATS, LabelFormat
from components.optimize import PASSES
from components.training.trainers import TRAINERS
from components.vision import TASKS
from components.vision.heads import HEADS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "design" / "layout.md").read_text(encoding="utf-8")
TABLES = {
    "Passes": PASSES,
    "Backends": BACKENDS,
    "Tasks": TASKS,
    "Heads": HEADS,
    "Trainers": TRAINERS,
    "Dataset formats": DATASET_FORMATS,
}
PICTURE = (ROOT / "docs" / "pictures" / "packages.svg").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """The text below a heading, up to the next one of the same level."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def packages(root: str) -> set[str]:
    return {path.parent.name for path in (ROOT / root).glob("*/__init__.py")}


def test_layers_are_those_of_import_linter():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ][0]["layers"]
    assert section("Layers").split("```")[1].strip().splitlines() == found


@pytest.mark.parametrize("root", ["flows", "components", "model_registry"])
def test_every_package_has_a_line_and_a_box(root):
    table = section("Packages").partition(f"| `{root}/` |")[2].partition("\n\n")[0]
    shown = set(re.findall(r'font-weight="600"[^>]*>(\w+)<', PICTURE))
    assert packages(root) - set(re.findall(r"`(\w+)/`", table)) == set()
    assert packages(root) - shown == set()


def test_every_flow_is_named():
    flows = {path.name for path in (ROOT / "flows").glob("*.py")} - {"__init__.py"}
    assert flows - set(re.findall(r"`(\w+\.py)`", section("Packages"))) == set()


def test_every_type_is_a_contract():
    first = re.findall(r"^\| (`\w.*?) \|", section("What flows between packages"), re.MULTILINE)
    names = re.findall(r"`(\w+)`", "".join(first))
    assert len(names) > 10 and [name for name in names if not hasattr(contracts, name)] == []


@pytest.mark.parametrize(("heading", "table"), TABLES.items())
def test_plug_ins_are_those_of_the_table(heading, table):
    rows = PAGE.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    described = re.findall(r"^\| `([\w-]+)` \| `(\w+)` \|", rows, re.MULTILINE)
    assert dict(described) == {name: place.partition(":")[2] for name, place in table.items()}


def test_every_dataset_format_can_be_asked_for_by_name():
    assert set(LabelFormat) == set(DATASET_FORMATS)
