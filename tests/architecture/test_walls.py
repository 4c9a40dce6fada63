"""Architecture tests: layers, light imports, no effects, distribution, style, spelling, types."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import components
import model_registry
from benchmarks.source_measures import read_modules

ROOT = Path(__file__).parents[2]
HEAVY = {
    "prefect",
    "mlflow",
    "torch",
    "torchvision",
    "onnxruntime",
    "openvino",
    "nncf",
    "evidently",
    "ultralytics",
    "sklearn",
    "skimage",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
    "tensorrt",
}
PRIVATE = re.compile(r"_(?!_|replace$|asdict$)\w+")  # but for the two public names of named tuples
OURS = ("foveal", "flows", "components", "model_registry")
MODULES = [
    name
    for package in (components, model_registry)
    for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not name.endswith((".run_template", ".worker", ".pyfunc_model"))
]


def test_imports_point_down_only():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def private_in_prefect(tree: ast.Module) -> list[str]:
    """Names of Prefect's that begin with an underscore, in a file that imports Prefect."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
    modules = [
        f"{getattr(node, 'module', None) or ''}.{alias.name}".strip(".")
        for node in imports
        for alias in node.names
    ]
    of_prefect = [name for name in modules if name.partition(".")[0] == "prefect"]
    attributes = (
        [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)] if of_prefect else []
    )
    reached = [node for node in attributes if PRIVATE.fullmatch(node.attr)]
    foreign = [
        ast.unparse(node)
        for node in reached
        if ast.unparse(node.value) not in ("self", "cls", "os")
    ]
    return [*(name for name in of_prefect if "._" in name), *foreign]


def test_what_is_private_in_prefect_is_used_in_one_file():
    users = {
        module.path: found
        for module in read_modules(ROOT)
        if (found := private_in_prefect(module.tree))
    }
    assert users.keys() == {"flows/deployment/runner.py"}, users


def test_importing_all_components_is_light_and_has_no_effects(tmp_path):
    """One fresh process imports all: no heavy runtime, no file, no change of environment."""
    script = (
        "import importlib, json, os, sys\n"
        "import cv2, numpy  # OpenCV sets LD_LIBRARY_PATH\n"
        "before = dict(os.environ)\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "print(json.dumps({'modules': sorted({name.partition('.')[0] for name in sys.modules}),\n"
        "                  'environment': dict(os.environ) == before, 'files': os.listdir()}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(MODULES)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert HEAVY & set(seen["modules"]) == set()
    assert seen["environment"]
    assert seen["files"] == []


@pytest.mark.parametrize(
    "package", [name for name in MODULES if name.startswith("components.") and name.count(".") == 1]
)
def test_importing_a_package_takes_under_half_a_second(package):
    """Processor time of the import alone, the least of up to six fresh processes."""
    script = (
        f"import time; before = time.process_time(); import {package}; "
        "print(time.process_time() - before)"
    )
    times = (
        float(
            subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(6)
    )
    assert any(seconds < 0.5 for seconds in times)


def test_the_import_packages_belong_to_this_distribution_alone():
    owners = importlib.metadata.packages_distributions()
    assert {name: set(owners[name]) for name in OURS} == {name: {"foveal"} for name in OURS}


def test_constraints_name_exact_versions_and_no_registry():
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines
    assert all("==" in line for line in lines)
    assert not any("://" in line or line.startswith("-") for line in lines)


def test_the_pipeline_is_read_in_two_minutes():
    assert len((ROOT / "flows" / "release.py").read_text().splitlines()) < 150


def test_style_is_clean():
    done = subprocess.run(
        [Path(sys.executable).parent / "ruff", "check", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_format_is_clean():
    ruff = Path(sys.executable).parent / "ruff"
    done = subprocess.run(
        [ruff, "format", "--check", "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_spelling_is_clean():
    command = [sys.executable, "-m", "codespell_lib"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_types_are_clean():
    done = subprocess.run(
        [Path(sys.executable).parent / "mypy"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
