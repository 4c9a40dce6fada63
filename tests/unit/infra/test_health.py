"""Health checks of services and pods."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import yaml

from flows.services.services import HEALTH
from tests.unit.infra.files import BASE, of_kind


def test_every_service_that_stays_up_has_a_health_check_and_is_waited_for(services):
    jobs = {name for name, service in services.items() if service.get("restart") == "no"}
    assert jobs == {"buckets"}
    for name, service in services.items():
        assert ("healthcheck" in service) is (name not in jobs), name
        for other, condition in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in jobs else "service_healthy"
            assert condition["condition"] == expected, f"{name} on {other}"


def test_postgres_is_asked_by_tcp_since_on_the_socket_it_answers_before_its_databases_are_there(
    services,
):
    """And for an answer of the last-made database: pg_isready does not ask if it is there."""
    last = re.findall(r"CREATE DATABASE (\w+)", (BASE / "databases.sql").read_text())[-1]
    stateful, _ = yaml.safe_load_all((BASE / "postgres.yaml").read_text())
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    ready = [container[f"{kind}Probe"]["exec"]["command"] for kind in ("startup", "readiness")]
    for command in [services["postgres"]["healthcheck"]["test"], *ready]:
        assert "psql --host 127.0.0.1 " in command[-1]
        assert command[-1].endswith(f" --dbname {last} --command 'select 1'")
    assert container["livenessProbe"]["exec"]["command"][:3] == [
        "pg_isready",
        "--host",
        "127.0.0.1",
    ]


def test_servers_are_ready_when_their_database_answers_and_alive_when_they_do(services):
    """/api/health and /health answer without it, and a restart brings no database back."""
    probes = {}
    for name in ("prefect", "mlflow"):
        (container,) = next(yaml.safe_load_all((BASE / f"{name}.yaml").read_text()))["spec"][
            "template"
        ]["spec"]["containers"]
        probes[name] = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
    asked = [probe["httpGet"]["path"] for probe in probes["prefect"]]
    assert asked == ["/api/ready", "/api/ready", HEALTH["prefect"]]
    assert "/api/ready'" in services["prefect"]["healthcheck"]["test"][-1]
    assert [probe["exec"]["command"][-1] for probe in probes["mlflow"][:2]] == [
        "/config/mlflow_health.py"
    ] * 2
    assert probes["mlflow"][2]["httpGet"]["path"] == HEALTH["mlflow"]
    assert services["mlflow"]["healthcheck"]["test"][1:3] == ["python", "/mlflow_health.py"]


@pytest.mark.parametrize(("status", "code"), [(401, 0), (200, 1), (500, 1), (503, 1), (None, 1)])
def test_mlflow_is_healthy_when_it_refuses_a_user_that_its_database_does_not_know(
    status, code, free_port
):
    """An answer without a look at who asks is no MLflow with users; no answer is no MLflow."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status or 0)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    address = f"http://127.0.0.1:{free_port}"
    with (
        ThreadingHTTPServer(("127.0.0.1", free_port), Server) if status else nullcontext() as server
    ):
        if server:
            Thread(target=server.serve_forever, daemon=True).start()
        asked = subprocess.run(
            [sys.executable, BASE / "mlflow_health.py", address],
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if server:
            server.shutdown()
    assert asked.returncode == code


def test_every_pod_that_stays_up_says_whether_it_is_healthy(overlay):
    for one in of_kind(overlay[1], "Deployment", "StatefulSet"):
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), one[
            "metadata"
        ]["name"]
