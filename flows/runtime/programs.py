"""Servers beneath Foveal as programs to run: Prefect, MLflow and Evidently over a storage root."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.runtime.access import EVERYWHERE
from flows.runtime.password import CLIENT, SERVER, password
from flows.runtime.settings import Settings

# without the working directory on its path, where another `flows` may lie
PYTHON = (sys.executable, "-P")
SAFE = {"PYTHONSAFEPATH": "1"}  # the same for what such a process starts in turn


@dataclass(frozen=True)
class Program:
    """A command, and what it needs in its environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def url_of(host: str, port: int) -> str:
    """Return a server's URL for programs here; one that listens everywhere listens here, too."""
    return f"http://{'127.0.0.1' if host == EVERYWHERE else host}:{port}"


def page_of(host: str, port: int) -> str:
    """The URL of a server for browsers, which may be on other machines if it listens everywhere."""
    return f"http://{socket.gethostname() if host == EVERYWHERE else host}:{port}"


def prefect_program(home: Path, host: str, port: int) -> Program:
    """Run Prefect's server over the SQLite file in a folder, behind a password.

    It sees itself as `PREFECT_API_URL`.

    Who holds the one place of a deployment is a file in that folder too: kept in memory, as by
    default, a server that is killed forgets whose the place was and never gives it to anybody
    again. So are its pages, which it would write beside its own code, where it often must not.
    """
    secret = password(home)
    environment = {
        **SAFE,
        CLIENT: secret,
        SERVER: secret,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{url_of(host, port)}/api",
        # of the origin that the page has, whichever name it was opened by
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        # its forms leave titles out, and it asks a foreign host
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
    }
    return Program(_web("prefect", host, port), environment)


def stored_program(name: str, settings: Settings, host: str, port: int) -> Program:
    """Serve what lies below the root: MLflow's embedded store, or Evidently's workspace."""
    return Program(_web(name, host, port), {**SAFE, "FOVEAL_HOME": str(settings.root)})


def _web(name: str, host: str, port: int) -> tuple[str, ...]:
    return (*PYTHON, "-m", "flows.services.protected_server", name, host, str(port))
