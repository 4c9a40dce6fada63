"""What a killed Prefect server still knows: who has a deployment's one place, and until when."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.config.deployments import DeploymentsConfig, WatchedModel
from flows.runtime.processes import answers, free_port
from flows.runtime.programs import Program, prefect_program
from flows.runtime.settings import Settings
from model_registry import sqlite_uri
from tests.conftest import clean_environment

NIGHT = "nightly monitoring/nightly"
SHORT = {
    # the shortest that it takes
    "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "30",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "1",
}


def wait_for(look: Callable[[], Any], seconds: float = 600) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)
    return found


@contextmanager
def killed_at_the_end(program: Program, root: Path) -> Iterator[None]:
    """A Prefect server that answers inside the block, and gets no chance to say goodbye."""
    url = program.environment["PREFECT_API_URL"]
    with (root / "server.log").open("ab") as log:
        process = subprocess.Popen(
            program.command,
            env=clean_environment(root) | program.environment | SHORT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(lambda: answers(f"{url}/health"))
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def settings(tmp_path):
    return Settings(tmp_path, sqlite_uri(tmp_path / "mlflow" / "mlflow.db"), embedded_tracking=True)


def test_the_place_of_a_night_that_died_with_its_server_is_free_when_its_time_is_over(settings):
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
    from prefect.states import Pending, Running

    from flows.deployment.deploy import deploy

    program = prefect_program(settings.prefect_home, "127.0.0.1", free_port())
    watched = DeploymentsConfig(models=[WatchedModel(name="bolts", images="s3://in")])
    api = {
        name: program.environment[name.name] for name in (PREFECT_API_URL, PREFECT_API_AUTH_STRING)
    }
    with temporary_settings(api):
        with killed_at_the_end(program, settings.root):
            nightly = deploy(watched, settings).id_of(NIGHT)
            with get_client(sync_client=True) as client:
                lost = client.create_flow_run_from_deployment(nightly)
                for state in (Pending(), Running()):
                    assert client.set_flow_run_state(lost.id, state).status.value == "ACCEPT"
        with killed_at_the_end(program, settings.root), get_client(sync_client=True) as client:

            def begins() -> bool:
                night = client.create_flow_run_from_deployment(nightly)
                return client.set_flow_run_state(night.id, Pending()).status.value == "ACCEPT"

            assert not begins()  # whose place it is is known
            wait_for(begins)
