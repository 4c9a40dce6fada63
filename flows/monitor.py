"""Monitoring by hand: the registered model over any images or any time range, judged as a night is."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from prefect import flow

from flows.config.monitor import MonitorConfig
from flows.reporting import publish
from flows.reporting.outcome import concluded
from flows.reporting.summary import MonitorSummary, Seen
from flows.runtime.settings import Settings
from flows.tasks import components as tasks
from flows.tasks import monitor as watching
from flows.tasks.predict import served_as
from flows.tasks.steps import Images


@flow(
    name="monitor",
    flow_run_name="{config.name}",
    validate_parameters=True,
    description="Do with any images, or any time range, what a night does with its own.",
)
@concluded
def monitor(config: MonitorConfig) -> MonitorSummary:
    """Run a registered version over images, or take what was kept of a time range, and do what a night does with it.

    The rows are kept, the report goes to Evidently's workspace too, drift and alerts are told. But the window stands
    alone: it is judged without the nights before it, and the nights after it do not remember it.

    Arguments:
        config: the registered name, the images or the time range, and the version (`champion` unless told otherwise).

    Raises:
        FovealError: no such version, no images, or a version without a reference.
    """
    settings = Settings.from_environment()
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        model = tasks.fetch(config.name, config.version, Path(scratch))
        version, held_out = model.version, tasks.require_reference(model.reference, model.version)
        if config.images is None:
            run = tasks.stored_run(version, config.since, config.until)
        else:
            run = tasks.predict(Images(config.images), replace(served_as(model), keep_going=config.keep_going))
        occasion = watching.keep_looked_at(config, run)
        reference = tasks.pool_reference(held_out, version)
        found = watching.evaluate_window(config, model, occasion, run, reference)
        report = watching.report_window(found, occasion, run, reference, Path(scratch) / "drift")
        alerts = watching.notify(model, occasion, found) if config.tell else ()
        seen = Seen(report, found.health.checks, alerts)
        page = tasks.log_drift(version, seen.report, occasion.key)
        folder = tasks.keep(
            settings.root / "monitoring" / version.name / f"{version.version}-{occasion.key[:8]}",
            {"predictions": run.folder, "drift": seen.report.html.parent},
        )
    summary = MonitorSummary.of(version, run, seen, folder)
    publish.drift(seen.report.at(folder / "drift"), version, page, run, seen)
    if config.tell:
        publish.announce(version, occasion.key, seen)
    return summary
