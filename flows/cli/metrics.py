"""`foveal metrics`: an endpoint for Prometheus, until it is stopped."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Annotated

import typer

from components import telemetry
from flows.cli.screens import results as screen
from flows.cli.shared import OPERATING, Json, show
from flows.runtime.settings import Settings

app = typer.Typer()
_PORT = 9464  # the one that OpenTelemetry gives to Prometheus exporters


@app.command(rich_help_panel=OPERATING)
def metrics(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")] = _PORT,
    host: Annotated[
        str, typer.Option(help="The address to bind; others than loopback are seen by others.")
    ] = "127.0.0.1",
    as_json: Json = False,
) -> None:
    """Serve what the monitoring store and the registry know to Prometheus, at /metrics, until it is stopped."""
    from flows.services.metrics import serve_metrics

    telemetry.switch_off()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    server = serve_metrics(Settings.from_environment(), host, port)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    address = f"http://{host}:{server.server_port}/metrics"
    show({"address": address}, as_json, lambda: screen.places([("metrics", address)]))
    sys.stdout.flush()
    stopped.wait()
    server.shutdown()
