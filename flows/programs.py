"""The servers beneath Foveal as programs to run: Prefect, MLflow and Evidently over a storage root."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True)
class Program:
    """A command, and what it needs in its environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def url_of(host: str, port: int) -> str:
    """The URL of a server for programs of this machine; one that listens everywhere listens here, too."""
    return f"http://{'127.0.0.1' if host == EVERYWHERE else host}:{port}"


def page_of(host: str, port: int) -> str:
    """The URL of a server for browsers, which may be on other machines if it listens everywhere."""
    return f"http://{socket.gethostname() if host == EVERYWHERE else host}:{port}"


def prefect_program(home: Path, host: str, port: int) -> Program:
    """Prefect's server over the SQLite file in a folder; it sees itself as `PREFECT_API_URL`.

    Who holds the one place of a deployment is a file in that folder too: kept in memory, as by default, a server that
    is killed forgets whose the place was and never gives it to anybody again. So are its pages, which it would write
    beside its own code, where it often must not.
    """
    environment = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{url_of(host, port)}/api",
        "PREFECT_UI_API_URL": f"{page_of(host, port)}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    start = ("-m", "prefect", "server", "start", "--host", host, "--port", str(port))
    return Program((sys.executable, *start), environment)


def mlflow_program(settings: Settings, host: str, port: int) -> Program:
    """MLflow's server over the embedded store; with its defaults it would start 15 processes."""
    command = (
        sys.executable, "-m", "flows.mlflow_server", "--host", host, "--port", str(port), "--workers", "1",
        "--backend-store-uri", settings.tracking_uri, "--artifacts-destination", str(settings.artifact_root),
    )  # fmt: skip
    return Program(command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **_known_as(host, port)})


def _known_as(host: str, port: int) -> dict[str, str]:
    """By which names browsers on other machines may ask MLflow, which answers to those of loopback only by itself."""
    if host in LOOPBACK:
        return {}
    hosts = [f"{name}:{port}" for name in (*LOOPBACK, *_names(host))]
    known = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}" for name in hosts),
    }
    return {name: os.environ.get(name) or names for name, names in known.items()}  # one behind a proxy has another name


def _names(host: str) -> list[str]:
    """What a server that listens on an interface, or on all, is called by others."""
    if host != EVERYWHERE:
        return [socket.gethostname(), host]
    every = [one for several in psutil.net_if_addrs().values() for one in several]
    return [socket.gethostname(), *(one.address for one in every if one.family == socket.AF_INET)]


def evidently_program(settings: Settings, host: str, port: int) -> Program:
    """Evidently's pages over the workspace that monitoring writes to."""
    show = ("-m", "evidently.cli", "ui", "--workspace", str(settings.evidently), "--host", host, "--port", str(port))
    return Program((sys.executable, *show))
