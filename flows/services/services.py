"""Services that `foveal up` runs on a machine: servers, the served deployments and the metrics."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from components.errors import ConfigError
from flows.runtime.password import CLIENT, password
from flows.runtime.programs import (
    PYTHON,
    SAFE,
    Program,
    page_of,
    prefect_program,
    stored_program,
    url_of,
)
from flows.runtime.settings import Settings
from flows.services.entry_page import PATH
from flows.services.supervisor import Service, all_of, at, printing, touching

# without a pulse for longer, the served deployments hang; one look for runs takes 60 s at most
PULSE_S = 90.0
# below a server's address, what answers while it is well and asks no store, which may hang
HEALTH = {
    "prefect": "/api/health",
    "mlflow": "/health",
    "evidently": "",
    "metrics": "/favicon.ico",
}


class Optional(StrEnum):
    """Services that can be left out."""

    MLFLOW = "mlflow"
    EVIDENTLY = "evidently"
    DEPLOYMENTS = "deployments"
    METRICS = "metrics"


@dataclass(frozen=True)
class Places:
    """Addresses on which the servers listen.

    Arguments:
        host: address of a network interface, or 0.0.0.0 for all.
        prefect: port, as the others.
    """

    host: str = "127.0.0.1"
    prefect: int = 4200
    mlflow: int = 5000
    evidently: int = 8000
    metrics: int = 9464


def prefect_url(places: Places) -> str:
    """Address of the Prefect API that the services use: the user's own, or that of ours."""
    return (
        os.environ.get("PREFECT_API_URL", "").rstrip("/")
        or f"{url_of(places.host, places.prefect)}/api"
    )


def services(
    settings: Settings, places: Places, *, without: Collection[Optional] = ()
) -> tuple[Service, ...]:
    """List all services, needed ones first; no Prefect or MLflow where the environment names one.

    Arguments:
        settings: the storage that they are over.
        places: where they listen.
        without: what to leave out.

    Raises:
        ConfigError: two have one port.
    """
    host, ours_prefect = places.host, not os.environ.get("PREFECT_API_URL")
    listed = [_prefect(settings, places)] if ours_prefect else []
    if settings.embedded_tracking:
        mlflow = stored_program("mlflow", settings, host, places.mlflow)
        listed.append(
            _server(places, "mlflow", mlflow, "compare versions and their variants", PATH)
        )
    evidently = stored_program("evidently", settings, host, places.evidently)
    listed += [
        _server(places, "evidently", evidently, "see drift over time"),
        _deployments(settings, places, ours_prefect),
        _metrics(places),
    ]
    listed = [service for service in listed if service.name not in without]
    ports = [service.listens for service in listed if service.listens]
    if len(set(ports)) < len(ports):
        raise ConfigError(
            "a port of its own for each server", found=", ".join(str(port) for _, port in ports)
        )
    return tuple(listed)


def _server(places: Places, name: str, program: Program, purpose: str, page: str = "") -> Service:
    """Describe a server that listens on its port; everything but Prefect is useful, not vital."""
    port = int(getattr(places, name))
    return Service(
        name,
        program.command,
        at(url_of(places.host, port) + HEALTH[name]),
        program.environment,
        listens=(places.host, port),
        address=page_of(places.host, port),
        page=page,
        purpose=purpose,
        vital=name == "prefect",
    )


def _prefect(settings: Settings, places: Places) -> Service:
    program = prefect_program(settings.prefect_home, places.host, places.prefect)
    signs_in = f"{PATH}#{program.environment[CLIENT]}"
    return _server(places, "prefect", program, "start flows, see runs and schedules", signs_in)


def _deployments(settings: Settings, places: Places, ours_prefect: bool) -> Service:
    environment = {
        "FOVEAL_HOME": str(settings.root),
        "PREFECT_API_URL": prefect_url(places),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
        **SAFE,
        **({CLIENT: password(settings.prefect_home)} if ours_prefect else {}),
    }
    return Service(
        "deployments",
        (*PYTHON, "-m", "flows.deployment.serving"),
        all_of(printing("serving"), touching(settings.pulse, PULSE_S)),
        environment,
        needs=("prefect",) if ours_prefect else (),
        purpose="runs what is scheduled, triggered or started",
    )


def _metrics(places: Places) -> Service:
    run = "from flows.cli.main import main; main()"
    command = (*PYTHON, "-c", run, "metrics", "--host", places.host, "--port", str(places.metrics))
    return _server(places, "metrics", Program(command, SAFE), "for Prometheus", "/metrics")
