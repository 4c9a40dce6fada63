"""`foveal monitor`, `nightly`, `drift calibrate`: fresh images, and how far the alarm goes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.screens import results as screen
from flows.cli.screens.progress import progress
from flows.cli.shared import KEEP_GOING, WATCHING, Json, require_images, running, show
from flows.config.base import C, validate_config
from flows.config.monitor import MonitorConfig, NightlyConfig
from flows.reporting.summary import Window

Name = Annotated[str, typer.Argument(help="A registered model: NAME, NAME@alias or NAME/version.")]

app = typer.Typer()
drift_app = typer.Typer(help="Know the drift alarm before you rely on it.", no_args_is_help=True)
app.add_typer(drift_app, name="drift", rich_help_panel=WATCHING)


@app.command(rich_help_panel=WATCHING)
def monitor(
    name: Name,
    images: Annotated[
        str | None, typer.Option(help="A folder, a glob, a manifest or a URL of images.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Judge what was kept from this moment on.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Judge what was kept before this moment.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of them: a data.yaml or an image folder.")
    ] = None,
    labels_split: Annotated[str, typer.Option(help="The split of the labels.")] = "val",
    tell: Annotated[
        bool, typer.Option(help="Tell of drift and alerts, as a night does; or only look.")
    ] = True,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help=f"{KEEP_GOING}, as long as others do.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Do what a night does with any images or time range: predict, keep, judge, report, tell."""
    parameters = _parameters(
        MonitorConfig,
        name,
        images=images,
        since=since,
        until=until,
        labels=labels,
        labels_split=labels_split,
        tell=tell,
        keep_going=keep_going,
    )
    if images:
        require_images(images)
    with running(f"monitor {name}", as_json):
        from flows.monitor import monitor as flow

        done = flow(parameters)
    show(done.to_json(), as_json, screen.monitor(done))
    _require_some(done.window)


@app.command(rich_help_panel=WATCHING)
def nightly(
    name: Name,
    images: Annotated[
        str, typer.Option(help="Where images arrive: a folder, a glob, a manifest or a URL.")
    ],
    labels: Annotated[
        Path | None, typer.Option(help="Labels as they arrive: a data.yaml or an image folder.")
    ] = None,
    labels_split: Annotated[str, typer.Option(help="The split of the labels.")] = "val",
    keep_days: Annotated[
        int | None, typer.Option(help="Remove stored rows that are older.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option(help=f"{KEEP_GOING} and is an alert, as long as others do.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Look at the images that came since the last night: predict, keep, judge, report, tell."""
    parameters = _parameters(
        NightlyConfig,
        name,
        images=images,
        labels=labels,
        labels_split=labels_split,
        keep_days=keep_days,
        keep_going=keep_going,
    )
    require_images(images, may_be_empty=True)
    with running(f"nightly {name}", as_json):
        from flows.nightly import nightly as flow

        done = flow(parameters)
    show(done.to_json(), as_json, screen.nightly(done))
    if done.shown:
        _require_some(done.shown.window)


@drift_app.command("calibrate")
def drift_calibrate(
    name: Name,
    images: Annotated[
        str | None, typer.Option(help="Ordinary images to damage, for the alarm's power.")
    ] = None,
    windows: Annotated[
        int, typer.Option(min=20, help="Windows to draw for each share of false alarms.")
    ] = 200,
    size: Annotated[
        list[int] | None, typer.Option(min=4, help="Images of a window; may be given again.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A foveal.yaml: the model's drift settings in it hold.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure on your own reference the false-alarm rate of the drift alarm, and what it sees."""
    from flows.tasks.calibrate import calibrate, drift_settings

    drift = drift_settings(config, name) if config else None
    with progress(as_json):
        done = calibrate(name, images, windows=windows, drift=drift, sizes=size or ())
    show(done.to_json(), as_json, screen.calibration(done))


def _parameters(kind: type[C], reference: str, **options: object) -> C:
    """Make a flow's parameters of a model's reference and a command's options."""
    from flows.tasks.predict import split_reference

    name, version = split_reference(reference)
    values = {"name": name, "version": version, **options}
    return validate_config(values, kind, source="the command line")


def _require_some(window: Window) -> None:
    """End with an exit code that says so when no image at all could be predicted."""
    if window.nothing_predicted:
        raise typer.Exit(1)
