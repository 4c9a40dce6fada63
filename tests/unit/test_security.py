"""What looks for weaknesses finds none, and says so when it could not look."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ["components", "flows", "foveal", "model_registry", "benchmarks", "infra"]


@pytest.mark.slow
def test_bandit_finds_nothing():
    command = [
        sys.executable,
        "-m",
        "bandit",
        "--quiet",
        "--recursive",
        "--configfile",
        "pyproject.toml",
        *PROGRAMS,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_exemption_from_the_security_rules_names_its_rule():
    lines = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in PROGRAMS
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "# nosec" in line or line.rstrip().endswith("# noqa")
    ]
    assert lines == []


def test_an_audit_that_cannot_reach_its_data_says_so_and_passes_for_nothing():
    nowhere = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "infra/audit.py"],
        cwd=ROOT,
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 75
    assert done.stdout.startswith(
        "not audited: the vulnerability data at https://api.osv.dev cannot be reached"
    )
