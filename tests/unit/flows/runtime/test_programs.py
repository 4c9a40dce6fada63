"""Programs of ours that are started as children."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.runtime.programs import prefect_program

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("package", ["components", "flows", "foveal", "model_registry"])
def test_no_python_is_started_that_takes_packages_from_the_working_directory(package):
    files = list((ROOT / package).rglob("*.py"))
    lines = [
        f"{path.name}: {line.strip()}"
        for path in files
        for line in path.read_text().splitlines()
        if "sys.executable" in line
        and "-P" not in line
        and "with_name" not in line
        and ".parent" not in line
    ]
    assert files
    assert lines == []


def test_prefects_pages_promote_nothing_and_are_those_that_show_titles(tmp_path):
    environment = prefect_program(tmp_path, "127.0.0.1", 4200).environment
    assert environment["PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT"] == "false"
    assert environment["PREFECT_SERVER_UI_V2_ENABLED"] == "false"
