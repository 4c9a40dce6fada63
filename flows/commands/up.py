"""`foveal up`: Prefect, MLflow, Evidently, the served deployments and the metrics, on this machine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from flows.commands.shared import Json
from flows.formats import short
from flows.programs import LOOPBACK
from flows.services import Optional, Places
from flows.settings import Settings
from flows.supervisor import Service

app = typer.Typer()
Port = typer.Option(min=1, max=65535)
_err = Console(stderr=True)


@app.command()
def up(
    root: Annotated[Path | None, typer.Option(help="The storage root; by default FOVEAL_HOME, or .foveal.")] = None,
    host: Annotated[str, typer.Option(help="The interface to listen on; 0.0.0.0 for all.")] = Places.host,
    prefect_port: Annotated[int, Port] = Places.prefect,
    mlflow_port: Annotated[int, Port] = Places.mlflow,
    evidently_port: Annotated[int, Port] = Places.evidently,
    metrics_port: Annotated[int, Port] = Places.metrics,
    without: Annotated[list[Optional] | None, typer.Option(help="Leave a service out; may be given again.")] = None,
    as_json: Json = False,
) -> None:
    """Start all servers and the deployments, keep them up, and stop them on Ctrl-C; what they keep stays."""
    from flows.up import up as bring_up

    if root is not None:
        os.environ["FOVEAL_HOME"] = str(root)
    settings = Settings.from_environment()
    if host not in LOOPBACK:
        _tell(f"warning: whoever reaches {host} can use these servers, which ask for no password")
    _tell("starting; Ctrl-C stops everything")
    bring_up(
        settings,
        Places(host, prefect_port, mlflow_port, evidently_port, metrics_port),
        without=without or (),
        ready=lambda services, away: (_document if as_json else _table)(services, away, settings),
        tell=_tell,
    )
    _tell("stopped; runs, versions and reports are kept")


def _tell(line: str) -> None:
    _err.print(line, soft_wrap=True, highlight=False, markup=False)


def _table(services: tuple[Service, ...], away: tuple[str, ...], settings: Settings) -> None:
    out = Console()
    rows = [(service.name, f"{service.address}{service.page}", service.purpose) for service in services]
    wide = max(len(page) for _, page, _ in rows)
    for name, page, purpose in rows:  # a table would cut addresses that are to be copied
        out.print(Text.assemble(f"{name:<13}", (f"{page:<{wide + 2}}", "cyan"), (purpose, "dim")), soft_wrap=True)
    healthy = f"all but {', '.join(away)}" if away else "all"
    out.print(f"{healthy} are healthy; logs are in {short(settings.root / 'logs')}", soft_wrap=True, highlight=False)


def _document(services: tuple[Service, ...], away: tuple[str, ...], settings: Settings) -> None:
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
    sys.stdout.write(json.dumps({"pid": os.getpid(), "root": str(settings.root), "services": listed}, indent=2) + "\n")
    sys.stdout.flush()
