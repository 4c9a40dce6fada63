"""Services that `foveal up` runs on a machine: servers, the served deployments and the metrics."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from components.errors import ConfigError
from flows.runtime.password import CLIENT, password
from flows.runtime.programs import PYTHON, SAFE, evidently_program, mlflow_program, page_of, prefect_program, url_of
from flows.runtime.settings import Settings
from flows.services.entry_page import PATH
from flows.services.supervisor import Service, all_of, at, printing, touching

PULSE_S = 90.0  # without a pulse for longer, the served deployments hang; one look for runs takes 60 s at most
HEALTH = {  # below a server's address, what answers while it is well and asks no store, which may hang
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
    return os.environ.get("PREFECT_API_URL", "").rstrip("/") or f"{url_of(places.host, places.prefect)}/api"


def services(settings: Settings, places: Places, *, without: Collection[Optional] = ()) -> tuple[Service, ...]:
    """All services, what is needed first; none of ours for Prefect or MLflow where the environment names a server.

    Arguments:
        settings: the storage that they are over.
        places: where they listen.
        without: what to leave out.

    Raises:
        ConfigError: two have one port.
    """
    ours_prefect = not os.environ.get("PREFECT_API_URL")
    listed = [_prefect(settings, places)] if ours_prefect else []
    listed += [_mlflow(settings, places)] if settings.embedded_tracking else []
    listed += [_evidently(settings, places), _deployments(settings, places, ours_prefect), _metrics(places)]
    listed = [service for service in listed if service.name not in without]
    ports = [service.listens for service in listed if service.listens]
    if len(set(ports)) < len(ports):
        raise ConfigError("a port of its own for each server", found=", ".join(str(port) for _, port in ports))
    return tuple(listed)


def _prefect(settings: Settings, places: Places) -> Service:
    program = prefect_program(settings.prefect_home, places.host, places.prefect)
    return Service(
        "prefect",
        program.command,
        at(url_of(places.host, places.prefect) + HEALTH["prefect"]),
        program.environment,
        listens=(places.host, places.prefect),
        address=page_of(places.host, places.prefect),
        page=f"{PATH}#{program.environment[CLIENT]}",  # signs the browser in
        purpose="start flows, see runs and schedules",
    )


def _mlflow(settings: Settings, places: Places) -> Service:
    program = mlflow_program(settings, places.host, places.mlflow)
    return Service(
        "mlflow",
        program.command,
        at(url_of(places.host, places.mlflow) + HEALTH["mlflow"]),
        program.environment,
        listens=(places.host, places.mlflow),
        address=page_of(places.host, places.mlflow),
        page=PATH,  # its root opens the pages for language models
        purpose="compare versions and their variants",
        vital=False,
    )


def _evidently(settings: Settings, places: Places) -> Service:
    program = evidently_program(settings, places.host, places.evidently)
    return Service(
        "evidently",
        program.command,
        at(url_of(places.host, places.evidently) + HEALTH["evidently"]),
        program.environment,
        listens=(places.host, places.evidently),
        address=page_of(places.host, places.evidently),
        purpose="see drift over time",
        vital=False,
    )


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
    return Service(
        "metrics",
        command,
        at(url_of(places.host, places.metrics) + HEALTH["metrics"]),
        SAFE,
        listens=(places.host, places.metrics),
        address=page_of(places.host, places.metrics),
        page="/metrics",
        purpose="for Prometheus",
        vital=False,
    )
