"""Checks of the environment's servers: they answer, have the right version, and share our clock."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from urllib.parse import unquote, urlsplit

from components.errors import FovealError
from flows.doctor.finding import Finding, State, failed
from flows.runtime.password import proof
from flows.runtime.processes import answers
from flows.runtime.root_lock import running_up
from flows.runtime.server import own_password
from flows.runtime.settings import Settings
from flows.services.services import HEALTH

SKEW_S = 60.0  # schedules and time ranges are of minutes
_TIMEOUT_S = 10


@dataclass(frozen=True)
class _Server:
    """A server of a client library, as the environment names it.

    Arguments:
        name: of the library, which is that of its distribution.
        variable: that names it.
        url: that it names.
        health, version: paths below the URL.
        headers: that prove who asks; secrets.
    """

    name: str
    variable: str
    url: str
    health: str
    version: str
    headers: Mapping[str, str]


def examine(settings: Settings) -> list[Finding]:
    """Ask the servers; without any, commands start what they need."""
    environment = os.environ
    findings = []
    if url := environment.get("PREFECT_API_URL"):
        secret = environment.get("PREFECT_API_AUTH_STRING") or own_password(
            url.rstrip("/"), settings
        )
        headers = proof(secret, environment.get("PREFECT_API_KEY"))
        findings += ask(
            _Server("prefect", "PREFECT_API_URL", url, "/health", "/admin/version", headers)
        )
    elif claim := running_up(settings.root):
        headers = proof(claim.password(settings.prefect_home))
        findings += ask(
            _Server("prefect", "foveal up", claim.prefect, "/health", "/admin/version", headers)
        )
    else:
        findings.append(
            Finding(
                "prefect",
                State.OK,
                "PREFECT_API_URL names no server; commands start one when needed",
            )
        )
    return [*findings, *_mlflow(settings, environment), *_pages(settings)]


def _pages(settings: Settings) -> list[Finding]:
    """Check that a running `foveal up` answers where it says; its Prefect was asked already."""
    claim, findings = running_up(settings.root), []
    for name, address in claim.addresses.items() if claim else ():
        if name == "prefect":
            continue
        if answers(address + HEALTH[name]):
            findings.append(Finding(f"{name} of foveal up", State.OK, f"answers at {address}"))
        else:
            log = settings.root / "logs" / f"{name}.log"
            findings.append(
                Finding(
                    f"{name} of foveal up", State.FAIL, f"no answer from {address}", f"read {log}"
                )
            )
    return findings


def _mlflow(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    if settings.tracking_uri.startswith(("http://", "https://")):
        user, password = (
            environment.get("MLFLOW_TRACKING_USERNAME"),
            environment.get("MLFLOW_TRACKING_PASSWORD"),
        )
        headers = proof(
            f"{user}:{password}" if user and password else None,
            environment.get("MLFLOW_TRACKING_TOKEN"),
        )
        return ask(
            _Server(
                "mlflow",
                "MLFLOW_TRACKING_URI",
                settings.tracking_uri,
                "/health",
                "/version",
                headers,
            )
        )
    if settings.embedded_tracking and not (settings.root / "mlflow" / "mlflow.db").exists():
        return [
            Finding(
                "mlflow",
                State.OK,
                "MLFLOW_TRACKING_URI names no server; the database is made when needed",
            )
        ]
    try:
        settings.registry()
    except FovealError as error:
        return [failed("mlflow", error)]
    return [Finding("mlflow", State.OK, f"MLflow {version('mlflow')} opens the embedded database")]


def ask(server: _Server) -> list[Finding]:
    """Ask one server for its health, its version and its time; a user in its URL is who asks."""
    parts = urlsplit(server.url.rstrip("/"))
    if parts.username:
        headers = proof(f"{unquote(parts.username)}:{unquote(parts.password or '')}")
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        return ask(replace(server, url=bare, headers=headers))
    server = replace(server, url=parts.geturl())
    place = f"{server.url} ({server.variable})"
    hint = f"start it, or correct or unset {server.variable}"
    try:
        _get(server, server.health)
        text, skew_s = _get(server, server.version)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            hint = (
                "set the user and the password, or the token, that it asks for in the environment"
            )
        return [
            Finding(server.name, State.FAIL, f"{place} answers {error.code} {error.reason}", hint)
        ]
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return [Finding(server.name, State.FAIL, f"no answer from {place}: {reason}", hint)]
    return [_compared(server, place, text), *_skewed(server, skew_s)]


def _get(server: _Server, path: str) -> tuple[str, float | None]:
    """The body, and how far (s) the server's clock is ahead of ours."""
    request = urllib.request.Request(server.url + path, headers=dict(server.headers))  # noqa: S310 - http(s) server
    asked = time.time()
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
        date = answer.headers.get("Date")
        text = answer.read(200).decode(errors="replace")
        middle = (asked + time.time()) / 2
    return text, parsedate_to_datetime(date).timestamp() - middle if date else None


def _compared(server: _Server, place: str, text: str) -> Finding:
    """Compare the versions of client and server, which must agree in major and minor."""
    here = version(server.name)
    there = str(json.loads(text)) if text.startswith('"') else text.strip()
    if here.split(".")[:2] == there.split(".")[:2]:
        return Finding(server.name, State.OK, f"{there} answers at {place}")
    found = f"{place} is version {there[:40]!r}, the library here is {here}"
    state = State.WARN if here.split(".")[0] == there.split(".")[0] else State.FAIL
    return Finding(
        server.name,
        state,
        found,
        f"bring both to one version; Foveal was tested with {server.name} {here}",
    )


def _skewed(server: _Server, skew_s: float | None) -> Iterator[Finding]:
    if skew_s is not None and abs(skew_s) > SKEW_S:
        found = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
        yield Finding(
            f"{server.name}'s clock",
            State.WARN,
            found,
            "switch time synchronisation (NTP) on, on both",
        )
