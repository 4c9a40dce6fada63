"""`foveal up`: Prefect, MLflow, Evidently, the served deployments and metrics, on this machine."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from components import telemetry
from components.printing import short_path
from flows.cli.screens import results as screen
from flows.cli.screens.console import Part, write_error
from flows.cli.screens.verbosity import Verbosity, verbosity
from flows.cli.shared import OPERATING, Json, show
from flows.runtime.access import LOOPBACK
from flows.runtime.password import CLIENT, password_file
from flows.runtime.settings import Settings
from flows.services.services import Optional, Places
from flows.services.supervisor import Service

app = typer.Typer()
Port = typer.Option(min=1, max=65535)
Services = tuple[Service, ...]
Names = tuple[str, ...]


@app.command(rich_help_panel=OPERATING)
def up(
    root: Annotated[
        Path | None, typer.Option(help="The storage root; by default FOVEAL_HOME, or .foveal.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="The interface to listen on; 0.0.0.0 for all.")
    ] = Places.host,
    prefect_port: Annotated[int, Port] = Places.prefect,
    mlflow_port: Annotated[int, Port] = Places.mlflow,
    evidently_port: Annotated[int, Port] = Places.evidently,
    metrics_port: Annotated[int, Port] = Places.metrics,
    without: Annotated[
        list[Optional] | None, typer.Option(help="Leave a service out; may be given again.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start all servers and deployments, keep them up, stop them on Ctrl-C; their data stays."""
    from flows.services.up import up as bring_up

    if root is not None:
        os.environ["FOVEAL_HOME"] = str(root)
    settings = Settings.from_environment()
    if host not in LOOPBACK:
        open_ = "MLflow, Evidently and the metrics, which ask for no password"
        write_error(f"warning: whoever reaches {host} can use {open_}")
    talk = write_error if verbosity() is not Verbosity.QUIET else lambda _: None
    talk("starting; Ctrl-C stops everything")
    bring_up(
        settings,
        Places(host, prefect_port, mlflow_port, evidently_port, metrics_port),
        without=without or (),
        ready=partial(_show, settings, as_json),
        tell=write_error,
    )
    talk("stopped; runs, versions and reports are kept")


def _show(settings: Settings, as_json: bool, services: Services, away: Names) -> None:
    show(_document(services, away, settings), as_json, _screen(services, away, settings))
    sys.stdout.flush()


def _screen(services: Services, away: Names, settings: Settings) -> Iterator[Part]:
    rows = [
        (service.name, f"{service.address}{service.page}", service.purpose) for service in services
    ]
    width = max(len(page) for _, page, _ in rows)
    for name, page, purpose in rows:  # a table would cut addresses that are to be copied
        yield Text.assemble(f"{name:<13}", (f"{page:<{width + 2}}", "cyan"), (purpose, "dim"))
    healthy = f"all but {', '.join(away)}" if away else "all"
    if environment := _environment(services):
        secret = shlex.quote(str(password_file(settings.prefect_home)))
        yield "the link to prefect signs a browser in; in a shell:"
        server = environment["PREFECT_API_URL"]
        yield f'  export PREFECT_API_URL={server} {CLIENT}="$(cat {secret})"'
    yield f"{healthy} are healthy; logs are in {short_path(settings.root / 'logs')}"


def _document(services: Services, away: Names, settings: Settings) -> dict[str, Any]:
    logs = settings.root / "logs"
    listed = [
        {
            "name": service.name,
            "address": service.address,
            "page": f"{service.address}{service.page}",
            "purpose": service.purpose,
            "healthy": service.name not in away,
            "log": str(logs / f"{service.name}.log"),
        }
        for service in services
    ]
    return {
        "pid": os.getpid(),
        "root": str(settings.root),
        "services": listed,
        "environment": _environment(services),
    }


def _environment(services: tuple[Service, ...]) -> dict[str, str]:
    """Return the environment variables that a shell needs for the Prefect server, if it is ours."""
    names = ("PREFECT_API_URL", CLIENT)
    return {
        name: service.environment[name]
        for service in services
        if service.name == "prefect"
        for name in names
    }


_PORT = 9464  # the one that OpenTelemetry gives to Prometheus exporters


@app.command(rich_help_panel=OPERATING)
def metrics(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")
    ] = _PORT,
    host: Annotated[
        str, typer.Option(help="The address to bind; others than loopback are seen by others.")
    ] = "127.0.0.1",
    as_json: Json = False,
) -> None:
    """Serve what monitoring store and registry know to Prometheus, at /metrics, until stopped."""
    from flows.services.metrics import serve_metrics

    telemetry.switch_off()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    server = serve_metrics(Settings.from_environment(), host, port)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    address = f"http://{host}:{server.server_port}/metrics"
    show({"address": address}, as_json, screen.places([("metrics", address)]))
    sys.stdout.flush()
    stopped.wait()
    server.shutdown()
