"""Files of infra/ and what tools make of them, for the tests of this folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
INFRA = ROOT / "infra"
BASE = INFRA / "kubernetes" / "base"
BIN = Path(sys.executable).parent
DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")
OVERLAYS = ("cpu", "gpu")
ASKED_FOR = re.compile(r"\$\{(\w+)")
NEEDED = re.compile(r"\$\{(\w+):\?")
DEFAULT = re.compile(r"\$\{(\w+):-([^${}]+)\}")
PINNED = re.compile(r"[\w./-]+:(?!latest)[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?")
OURS = "foveal:"
EXAMPLE = INFRA / ".env.example"
COMPOSE = ("compose.yaml", "compose.gpu.yaml")


def dockerfile(name: str) -> str:
    return (INFRA / name).read_text().replace("\\\n", " ")


def example() -> dict[str, str]:
    """What infra/.env.example sets; empty where people fill in."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def compose_text() -> str:
    return "".join((INFRA / name).read_text() for name in COMPOSE)


def secret_names() -> set[str]:
    """What compose does not start without, and nobody but the user knows; and where alerts go."""
    return {name for name in NEEDED.findall(compose_text()) if not example()[name]} | {
        "FOVEAL_ALERT_URLS"
    }


def compose(*files: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `docker compose config` says of the files, over what the example sets."""
    named = [part for file in files for part in ("--file", str(INFRA / file))]
    own = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [BIN / "docker-compose", *named, "config", "--format", "json"],
        env={**own, **example(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] in kinds]


def pods(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Name and pod specification of all that runs, the work pool's jobs too."""
    running = [
        (one["metadata"]["name"], one["spec"]["template"]["spec"])
        for one in of_kind(objects, "Deployment", "StatefulSet")
    ]
    return [*running, ("a run", job(objects)["spec"]["template"]["spec"])]


def job(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The work pool's job, filled in with the defaults of its form."""
    (config,) = [
        one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == "foveal-config"
    ]
    pool = json.loads(config["data"]["work-pool.json"])
    given = {name: field.get("default") for name, field in pool["variables"]["properties"].items()}
    given |= {
        "command": ["prefect", "flow-run", "execute"],
        "env": [],
        "labels": {},
        "annotations": {},
        "name": "run",
    }
    given |= {"image": image_of_runs(objects)}

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        if isinstance(value, str) and (whole := re.fullmatch(r"\{\{ (\w+) \}\}", value)):
            return given[whole[1]]
        return (
            re.sub(r"\{\{ (\w+) \}\}", lambda part: given[part[1]], value)
            if isinstance(value, str)
            else value
        )

    return fill(pool["job_configuration"]["job_manifest"])


def image_of_runs(objects: list[dict[str, Any]]) -> str:
    """The image that `foveal deploy` gives to the work pool's deployments on the cluster."""
    (worker,) = [
        one for one in of_kind(objects, "Deployment") if one["metadata"]["name"] == "worker"
    ]
    (deploy,) = worker["spec"]["template"]["spec"]["initContainers"]
    (told,) = [one["value"] for one in deploy["env"] if one["name"] == "FOVEAL_IMAGE"]
    return told


def created_with(secret: str) -> str:
    """The command that makes a secret, as the page on infrastructure says it."""
    page = (INFRA / "README.md").read_text().replace("\\\n", " ")
    return next(line for line in page.splitlines() if re.search(rf"^secret {secret} ", line))


def secrets_of_cluster() -> set[str]:
    """What the page on infrastructure makes."""
    return set(
        re.findall(r"^secret (foveal-[\w-]+) ", (INFRA / "README.md").read_text(), re.MULTILINE)
    )
