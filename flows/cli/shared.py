"""Parts shared by the commands: JSON for machines, a Prefect API during a flow, early checks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any

import typer

from flows.cli.screens.console import Part, write
from flows.cli.screens.progress import progress
from flows.runtime.settings import Settings

# The groups in which `foveal --help` shows the commands.
RUNNING = "From a model to predictions"
WATCHING = "Every night"
IMPROVING = "From drift to a better model"
VERSIONS = "Registered versions"
OPERATING = "Servers and this machine"
KEEP_GOING = "A host that does not answer costs its own images"

Refresh = Annotated[
    bool,
    typer.Option("--refresh", help="Do every step anew: measure again, take nothing finished."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


@contextmanager
def running(what: str, as_json: bool, *, refresh: bool = False) -> Iterator[None]:
    """Give the block a Prefect API, and progress on screen; `refresh` does every step anew."""
    from flows.cli.prefect_watch import ending_without
    from flows.runtime.outages import outages_named, require_registry
    from flows.runtime.server import prefect_api

    settings = Settings.from_environment()
    ours = not os.environ.get("PREFECT_API_URL")
    with progress(as_json) as bars:
        bars.phase("starting Prefect")
        require_registry(settings)
        with outages_named(settings), prefect_api(settings) as url, outages_named(settings, url):
            bars.phase(what)
            # imports Prefect, which reads what `prefect_api` has set
            from flows.tasks.steps import refreshing

            watched = ending_without(url, settings.prefect_home) if ours else nullcontext()
            with watched, refreshing(refresh):
                yield


def show(value: Any, as_json: bool, screen: Iterable[Part]) -> None:
    """Print one JSON document, or a screen."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
    else:
        write(screen)


def require_images(source: str, *, may_be_empty: bool = False) -> None:
    """Find in a second that there are no images, or no such place, before a server is started."""
    from components.images.sources import list_images

    list_images(source, may_be_empty=may_be_empty)
