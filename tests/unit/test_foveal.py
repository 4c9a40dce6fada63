"""The public face: names resolve to their modules' objects, and importing costs next to nothing."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import foveal
from components import telemetry

STUB = Path(foveal.__file__).with_suffix(".pyi")
LIMIT_S = 0.05


def fresh(script: str, **environment: str) -> str:
    """Standard output of a script in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment or None,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("name", foveal._NAMES)
def test_a_name_is_the_object_in_its_module(name):
    module, _, attribute = foveal._NAMES[name].partition(":")
    assert getattr(foveal, name) is getattr(import_module(module), attribute)


def test_the_stub_names_the_same_objects():
    imported = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == foveal._NAMES


def test_no_name_comes_from_the_command_line():
    assert not [place for place in foveal._NAMES.values() if place.startswith("flows.cli")]


def test_the_version_is_that_of_the_distribution():
    assert foveal.__version__ == version("foveal")


def test_all_names_are_listed():
    assert set(foveal.__all__) <= set(dir(foveal))
    assert len(foveal.__all__) == len(set(foveal.__all__)) == len(foveal._NAMES) + 1


def test_the_reference_lists_the_same_names():
    page = (STUB.parents[1] / "docs" / "reference" / "python" / "foveal.md").read_text(
        encoding="utf-8"
    )
    rows = "".join(re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == set(foveal.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'foveal' has no attribute 'nothing'"):
        foveal.nothing  # noqa: B018 - the look itself is tested


def test_importing_it_takes_under_50_ms():
    """Processor time of the import alone, the least of up to six fresh processes."""
    script = (
        "import time; before = time.process_time(); import foveal; print(time.process_time() "
        "- before)"
    )
    assert any(float(fresh(script)) < LIMIT_S for _ in range(6))


def test_importing_it_loads_no_other_package_and_changes_no_environment():
    script = (
        "import json, os, sys\nmodules, environment = set(sys.modules), dict(os.environ)\nimport "
        "foveal\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - modules} - "
        "sys.stdlib_module_names\n"
        "print(json.dumps([sorted(new), dict(os.environ) == environment]))"
    )
    assert json.loads(fresh(script)) == [["foveal"], True]


@pytest.mark.parametrize(
    "name", ["read_image", "Registry", pytest.param("release", marks=pytest.mark.slow)]
)
def test_telemetry_is_off_before_a_name_is_imported(name):
    """Whatever the name imports, it finds the switches set."""
    script = (
        "import json, os, sys\nfound = []\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        known = ('components', 'flows', 'foveal')\n"
        "        if name.partition('.')[0] not in (*known, *sys.stdlib_module_names) and not "
        "found:\n"
        f"            found.append([name, {{key: os.environ.get(key) for key in "
        f"{list(telemetry.SWITCHES)}}}])\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"from foveal import {name}\nprint(json.dumps(found[0][1]))"
    )
    assert json.loads(fresh(script, PATH="/usr/bin")) == telemetry.SWITCHES
