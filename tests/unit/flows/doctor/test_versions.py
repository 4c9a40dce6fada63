"""Versions against what Foveal asks for, against each other and against what was tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.doctor.finding import Finding, State
from flows.doctor.versions import PACKAGES, Asked, examine, judge, owners

ASKED = Asked(
    "0.1.0",
    ">=3.11",
    (
        "pandas>=2.3,<3.1",
        "fastapi<0.151",
        "onnxruntime-gpu>=1.30; sys_platform == 'linux'",
        "onnxruntime>=1.30; sys_platform != 'linux'",
        "opencv-python-headless>=4.11",
        'tensorrt-cu13<11,>=10.13.2; extra == "gpu"',
        'ruff>=0.13; extra == "dev"',
    ),
)
FITTING = {
    "pandas": "3.0.6",
    "fastapi": "0.150.0",
    "onnxruntime-gpu": "1.31.1",
    "opencv-python-headless": "5.0.0.93",
}


def faults(installed, python="3.11.7", tested=None):
    return [
        found
        for found in judge(python, ASKED, installed, tested or {})
        if found.state is not State.OK
    ]


def test_what_fits_is_two_good_lines():
    findings = judge("3.11.7", ASKED, FITTING, FITTING)
    assert [(found.name, found.state) for found in findings] == [
        ("python", State.OK),
        ("libraries", State.OK),
    ]
    assert findings[1].found == "4, each as Foveal 0.1.0 asks for it"


@pytest.mark.parametrize(
    ("changed", "name", "hint"),
    [
        ({"pandas": "3.1.0"}, "pandas", "pip install 'pandas<3.1,>=2.3'"),
        ({"fastapi": "0.155.1"}, "fastapi", "pip install 'fastapi<0.151'"),
        (
            {"onnxruntime": "1.32.0"},
            "onnxruntime and onnxruntime-gpu",
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu==1.31.1",
        ),
        (
            {"opencv-python": "5.0.0"},
            "opencv-python and opencv-python-headless",
            "pip uninstall -y opencv-python opencv-python-headless && pip install "
            "opencv-python-headless==5.0.0.93",
        ),
    ],
)
def test_a_known_trap_fails_with_the_command_that_mends_it(changed, name, hint):
    (fault,) = faults(FITTING | changed)
    assert (fault.name, fault.state, fault.hint) == (name, State.FAIL, hint)


def test_a_missing_library_fails():
    (fault,) = faults({name: version for name, version in FITTING.items() if name != "pandas"})
    assert (fault.name, fault.state, fault.found) == ("pandas", State.FAIL, "not installed")


def test_an_extra_of_a_wrong_version_warns_and_one_that_is_not_there_does_not():
    assert faults(FITTING) == []
    (fault,) = faults(FITTING | {"tensorrt-cu13": "11.0"})
    assert (fault.state, fault.hint) == (State.WARN, "pip install 'foveal[gpu]'")


def test_a_python_that_is_too_old_fails():
    (fault,) = faults(FITTING, python="3.10.12")
    assert (fault.name, fault.state, fault.found) == ("python", State.FAIL, "3.10.12")


def test_what_differs_from_the_tested_versions_is_named():
    (fault,) = faults(FITTING, tested=FITTING | {"pandas": "3.0.5", "never-installed": "1"})
    assert fault.state is State.WARN
    assert fault.found == "1 differ from those tested together: pandas 3.0.6 (3.0.5)"


@given(st.integers(0, 4), st.integers(0, 30))
def test_pandas_fails_exactly_outside_of_its_range(major, minor):
    fits = (2, 3) <= (major, minor) < (3, 1)
    assert (
        "pandas" not in {fault.name for fault in faults(FITTING | {"pandas": f"{major}.{minor}"})}
    ) == fits


def test_this_environment_has_no_fault():
    assert [found for found in examine() if found.state is State.FAIL] == []


def test_what_is_not_ok_must_say_how_to_mend_it():
    with pytest.raises(ValueError, match="does not say how to mend it"):
        Finding("disk", State.WARN, "full")


ROOT = Path(__file__).parents[4]
EXAMINE = """
import json, sys
from flows.doctor.versions import examine_packages
{before}
print(json.dumps([[one.name, one.state, one.found, one.hint] for one in examine_packages()]))
"""


def install(folder: Path, name: str, package: str, *, top_level: bool) -> None:
    """Write what pip leaves of a distribution: its metadata and a package."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("")
    metadata = folder / f"{name.replace('-', '_')}-0.3.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3.1\n")
    (metadata / "RECORD").write_text(
        f"{package}/__init__.py,,\n{metadata.name}/METADATA,,\n{metadata.name}/RECORD,,\n"
    )
    if top_level:
        (metadata / "top_level.txt").write_text(f"{package}\n")


def packages_with(folder: Path, before: str = "") -> list[list[str]]:
    """List findings of a fresh process that has a folder last on its path, after a statement."""
    script = EXAMINE.format(before=f"sys.path.append({str(folder)!r}); {before}")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("top_level", [True, False])
def test_a_distribution_that_installs_a_package_of_our_name_is_named(tmp_path, top_level):
    install(tmp_path, "model-registry", "model_registry", top_level=top_level)
    (fault,) = [found for found in packages_with(tmp_path) if found[1] == "fail"]
    assert fault == [
        "model_registry",
        "fail",
        "model-registry installs a package of this name over Foveal's",
        "pip uninstall -y model-registry, then install Foveal again",
    ]


def test_packages_of_other_names_are_no_fault(tmp_path):
    install(tmp_path, "flows-of-data", "flows_of_data", top_level=True)
    assert [found for found in packages_with(tmp_path) if found[1] == "fail"] == []


def test_a_package_that_is_found_elsewhere_than_installed_is_named(tmp_path):
    (tmp_path / "model_registry").mkdir()
    (tmp_path / "model_registry" / "__init__.py").write_text("")
    found = {
        finding[0]: finding
        for finding in packages_with(tmp_path, f"sys.path.insert(0, {str(tmp_path)!r})")
    }
    assert found["model_registry"][1] == "warn"
    assert found["model_registry"][2].startswith(
        f"imported from {tmp_path}, but Foveal is installed in "
    )


def test_our_packages_are_owned_by_nobody_else_here():
    assert {name for names in owners().values() for name in names} == {"foveal"}
    assert set(owners()) == set(PACKAGES)


def test_a_command_that_cannot_be_imported_names_the_distribution(tmp_path):
    install(tmp_path, "model-registry", "model_registry", top_level=True)
    done = subprocess.run(
        [sys.executable, "-c", "from flows.cli import start; start()", "doctor"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: model_registry: model-registry installs a package of this name"
    )
    assert len(done.stderr.splitlines()) == 1
