"""`foveal up` with the real servers: one a root, shared with commands, and its state lasts."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from flows.runtime.password import password, proof
from flows.runtime.processes import free_port
from flows.runtime.root_lock import running_up
from model_registry import Registry, sqlite_uri
from model_registry.store import open_store
from tests.conftest import clean_environment, foveal, prefect_server

FLOW = """
import sys
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()) as url:
    from prefect import flow

    @flow(name=sys.argv[1])
    def hello():
        return 1

    hello()
    print(url)
"""


def run_flow(root: Path, name: str) -> str:
    """Run a flow as commands do; returns the address of the API that it used."""
    done = subprocess.run(
        [sys.executable, "-c", FLOW, name],
        env=clean_environment(root),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def flows_of(api: str, root: Path) -> set[str]:
    headers = proof(password(root / "prefect"))
    return {
        row["name"]
        for row in httpx.post(f"{api}/flows/filter", json={}, headers=headers, timeout=30).json()
    }


def register(root: Path, name: str) -> None:
    registry = Registry(sqlite_uri(root / "mlflow" / "mlflow.db"), root / "mlflow" / "artifacts")
    open_store(registry.tracking_uri).client.create_registered_model(name)


def models_of(mlflow: str) -> set[str]:
    found = httpx.get(f"{mlflow}/api/2.0/mlflow/registered-models/search", timeout=30).json()
    return {model["name"] for model in found.get("registered_models", ())}


def asked_as(origin: str, mlflow: str) -> int:
    """How MLflow answers to what its page asks in a browser that has it open at an address."""
    asks = {"Host": origin.removeprefix("http://"), "Origin": origin}
    return httpx.post(
        f"{mlflow}/ajax-api/2.0/mlflow/runs/search",
        json={"experiment_ids": ["0"]},
        headers=asks,
        timeout=30,
    ).status_code


def arguments(ports: dict[str, int]) -> list[str]:
    chosen = [f"--{name}-port={port}" for name, port in ports.items()]
    return ["up", *chosen, "--without", "deployments", "--without", "metrics"]


def document(process: subprocess.Popen[str]) -> dict[str, str]:
    """What `up --json` prints once all are healthy; addresses by name."""
    text = ""
    while not text.endswith("}\n") or "\n}\n" not in text:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        text += line
    said = json.loads(text)
    assert said["pid"] == process.pid
    return {service["name"]: service["address"] for service in said["services"]}


def test_servers_are_shared_with_commands_and_what_they_keep_is_there_after_a_restart(
    tmp_path, start
):
    root, ports = (
        tmp_path / "home",
        {name: free_port() for name in ("prefect", "mlflow", "evidently")},
    )
    register(root, "before.up")
    process = start(*arguments(ports), "--json", root=root)
    addresses = document(process)
    assert addresses == {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    assert run_flow(root, "while-up") == f"{addresses['prefect']}/api"
    assert models_of(addresses["mlflow"]) == {"before.up"}
    assert httpx.get(addresses["evidently"]).status_code == 200
    assert (
        "<html"
        in httpx.get(
            addresses["prefect"], headers={"Accept": "text/html"}, follow_redirects=True
        ).text
    )
    assert (
        root / "prefect" / "ui" / "v1" / "index.html"
    ).exists()  # not where Prefect is installed

    second = foveal("up", "--prefect-port", str(free_port()), root=root)
    assert second.returncode == 1
    assert f"process {process.pid}" in second.stderr and addresses["prefect"] in second.stderr

    members = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=90) == 0
    assert not [member for member in members if member.is_running()]

    register(root, "while.down")
    again = document(start(*arguments(ports), "--json", "--host", "0.0.0.0", root=root))  # noqa: S104
    assert again == {name: f"http://{socket.gethostname()}:{port}" for name, port in ports.items()}
    here = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    assert flows_of(f"{here['prefect']}/api", root) == {"while-up"}
    assert models_of(here["mlflow"]) == {"before.up", "while.down"}
    assert asked_as(again["mlflow"], here["mlflow"]) == 200
    assert asked_as("http://elsewhere.example", here["mlflow"]) == 403


def test_a_command_that_works_on_the_root_is_named_and_not_disturbed(tmp_path):
    with prefect_server(tmp_path):
        server = psutil.Process(
            json.loads((tmp_path / "prefect" / "server.json").read_text())["pid"]
        )
        refused = foveal(*arguments({"prefect": free_port()}), root=tmp_path)
        assert refused.returncode == 1
        assert re.search(
            r"expected a storage root that no command is working on, .* found process \d+",
            refused.stderr,
        )
        assert server.is_running()
    assert not (tmp_path / "logs").exists()


def test_a_port_that_is_taken_is_one_line_with_its_holder_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = foveal(*arguments({"mlflow": port, "prefect": free_port()}), root=tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (
        f"port {port} free for mlflow" in line
        and f"process {os.getpid()}" in line
        and "--mlflow-port" in line
    )
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("models: [{name: parts, imagess: in}]", "imagess"),
        ("models: [{name: parts, images: in, release: parts.yaml}]", "the release file of parts"),
        (
            "models: [{name: parts, images: in}]\nwork_pool: {name: gpus, type: process}",
            "work pool gpus",
        ),
    ],
)
def test_what_is_to_be_served_is_checked_before_anything_starts(tmp_path, written, words):
    (tmp_path / "foveal.yaml").write_text(written)
    done = foveal("up", "--prefect-port", str(free_port()), root=tmp_path / "home", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert words in line
    assert not (tmp_path / "home").exists()


def test_one_port_for_two_servers_is_refused(tmp_path):
    port = str(free_port())
    done = foveal("up", "--prefect-port", port, "--mlflow-port", port, root=tmp_path)
    assert done.returncode == 2
    assert "a port of its own for each server" in done.stderr


def test_listening_beyond_this_machine_is_warned_of(tmp_path):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104
        taken.listen()
        done = foveal(
            "up",
            "--host",
            "0.0.0.0",  # noqa: S104
            "--prefect-port",
            taken.getsockname()[1],
            root=tmp_path,
        )
    assert (
        "warning: whoever reaches 0.0.0.0 can use MLflow, Evidently and the metrics, which ask for "
        "no password" in done.stderr
    )


def test_the_note_of_a_dead_one_is_no_claim(tmp_path):
    (tmp_path / "up.json").write_text(
        json.dumps({"pid": os.getpid(), "prefect": "http://x/api", "addresses": {}})
    )
    assert running_up(tmp_path) is None
