"""Monitoring by hand: the registered model over any images or time range, judged as a night is."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from flows.config.monitor import MonitorConfig
from flows.reporting import publish
from flows.reporting.outcome import concluded
from flows.reporting.summary import MonitorSummary, Seen
from flows.tasks import components as tasks
from flows.tasks import stores
from flows.tasks.monitoring import window as watching
from flows.tasks.predict import served_as
from flows.tasks.steps import Images


@concluded("monitor", "{config.name}")
def monitor(config: MonitorConfig) -> MonitorSummary:
    """Do with any images, or any time range, what a night does with its own.

    A registered version is run over the images, or what was kept of the time range is taken. The
    rows are kept, the report goes to Evidently's workspace too, drift and alerts are told. But the
    window stands alone: it is judged without the nights before it, and the nights after it do not
    remember it.

    Arguments:
        config: the registered name, the images or the time range, and the version (`champion`
            unless told otherwise).

    Raises:
        FovealError: no such version, no images, or a version without a reference.
    """
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        model = stores.fetch(config.name, config.version, Path(scratch))
        version, held_out = model.version, stores.require_reference(model.reference, model.version)
        if config.images is None:
            run = stores.stored_run(version, config.since, config.until)
        else:
            run = tasks.predict(
                Images(config.images), replace(served_as(model), keep_going=config.keep_going)
            )
        occasion = watching.keep_looked_at(config, run)
        reference = stores.pool_reference(held_out, version)
        found = watching.evaluate_window(config, model, occasion, run, reference)
        report = watching.report_window(found, occasion, run, reference, Path(scratch) / "drift")
        alerts = watching.notify(model, occasion, found) if config.tell else ()
        seen = Seen(report, found.health.checks, alerts)
        done = watching.publish_window(version, run, seen, occasion.key, occasion.key[:8])
    if config.tell:
        publish.announce(version, occasion.key, seen)
    return done
