"""Services as compose resolves them, objects as kustomize makes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.unit.infra.files import BIN, INFRA, OVERLAYS, compose, secret_names


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """A value for each secret that cannot be mistaken for anything else."""
    return {name: f"secret-of-{name.lower()}" for name in secret_names()}


@pytest.fixture(scope="session")
def composed(secrets) -> dict[str, Any]:
    done = compose("compose.yaml", **secrets)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def services(composed) -> dict[str, dict[str, Any]]:
    return composed["services"]


@pytest.fixture(scope="session", params=OVERLAYS)
def overlay(request) -> tuple[str, list[dict[str, Any]]]:
    """Name and objects of an overlay, as kustomize makes them."""
    tool = shutil.which("kubectl", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if tool is None:
        pytest.skip("kubectl is not installed; it comes with the extra dev")
    done = subprocess.run(
        [tool, "kustomize", INFRA / "kubernetes" / "overlays" / request.param],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return request.param, [one for one in yaml.safe_load_all(done.stdout) if one]
