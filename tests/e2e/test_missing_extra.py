"""Without the extra `yolo`, what needs Ultralytics says so before anything else runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MODEL, clean_environment

# A process in which Ultralytics cannot be imported, as where it was never installed.
WITHOUT = "import sys; sys.modules['ultralytics'] = None; from flows.cli.main import main; main()"


def without(*arguments: str | Path, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(
        command,
        env=clean_environment(root),
        cwd=root.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def is_one_line_with_the_mend(done: subprocess.CompletedProcess[str]) -> bool:
    return (
        done.returncode == 1
        and done.stdout == ""
        and done.stderr.count("\n") == 1
        and "a checkpoint of Ultralytics" in done.stderr
        and "pip install 'foveal[yolo]'" in done.stderr
    )


@pytest.fixture
def config(tmp_path: Path, scenes: Path) -> Path:
    path = tmp_path / "digits.yaml"
    path.write_text(
        f"name: digits\nmodel: {{path: {MODEL}, trust_pickle: true}}\ndata: {{labelled: "
        f"{scenes}}}\n"
    )
    return path


def test_a_release_and_the_demo_say_so_before_a_server_is_started(tmp_path, config):
    for arguments in (("release", config), ("demo",)):
        done = without(*arguments, root=tmp_path / "home")
        assert is_one_line_with_the_mend(done), done.stderr
        assert not (tmp_path / "home" / "prefect").exists()


def test_a_retraining_says_so(released):
    done = without("retrain", "digits", root=released.root)
    assert is_one_line_with_the_mend(done), done.stderr


def test_doctor_has_a_row_for_it_and_for_the_model_that_needs_it(released):
    done = without("doctor", root=released.root)
    assert "ok   yolo: not installed" in done.stdout and "foveal[yolo]" in done.stdout
    assert (
        "warn model digits: released from digits.pt, and Ultralytics, which retrains it, is not"
        in done.stdout
    )
    assert "ok   yolo: Ultralytics is installed" in released.foveal("doctor").stdout
