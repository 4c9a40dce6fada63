"""Nightly monitoring: what is new since the last night, predicted, kept, judged, reported and told.

A window is planned, then worked on under its key, then committed. Every step between is idempotent
under that key, so a night that fails anywhere is picked up by the next run: no image is skipped,
none counts twice.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from components.contracts import InferenceRun, LoadedModel, ModelVersion
from components.errors import OutageError
from components.monitoring import PlannedWindow
from components.monitoring.alerts.book import Alert
from flows.config.monitor import NightlyConfig
from flows.reporting import publish
from flows.reporting.outcome import concluded
from flows.reporting.summary import MonitorSummary, NightlySummary, Seen, lines_of
from flows.tasks import components as tasks
from flows.tasks import stores
from flows.tasks.monitoring import window as watching
from flows.tasks.monitoring.health import Occasion
from flows.tasks.predict import served_as


@concluded("nightly monitoring", "{config.name}")
def nightly(config: NightlyConfig) -> NightlySummary:
    """Look at the images that came since the last run: predict, keep, judge, report, tell.

    Arguments:
        config: the registered name and where its images arrive.

    Raises:
        FovealError: no such version, no such place, or a version without a reference.
    """
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        model = stores.fetch(config.name, config.version, Path(scratch))
        planned = watching.plan_window(config, model.version)
        window = planned.window
        publish.given_up(planned.given_up)
        arrivals = watching.watch_source(config, model.version, window)
        if window is None:
            publish.nothing_new(model.version, config.images)
            return _without_window(config, model.version, arrivals, planned.given_up)
        if planned_for := watching.version_of_plan(window, model.version):
            model = stores.fetch(config.name, planned_for, Path(scratch) / "planned")
        version = model.version
        stores.require_reference(model.reference, version)
        served = replace(served_as(model), keep_going=config.keep_going)
        try:
            run = tasks.predict(watching.images_of(window), served)
        except OutageError as error:
            if not watching.has_waited(window):
                raise
            lines = (*planned.given_up, watching.give_up(config, window, error))
            publish.given_up(lines)
            return _without_window(config, version, arrivals, lines)
        told = (*arrivals.alerts, *watching.watch_places(config, version, window, run).alerts)
        done = _judge(config, model, window, run, Path(scratch), told)
        return NightlySummary(version.name, version.version, done, given_up=planned.given_up)


def _without_window(
    config: NightlyConfig,
    version: ModelVersion,
    arrivals: watching.Arrivals,
    given_up: tuple[str, ...],
) -> NightlySummary:
    """End a night in which there is nothing to evaluate."""
    watching.remove_old(config)
    publish.announce_alerts(version, arrivals.key, arrivals.alerts)
    return NightlySummary(version.name, version.version, None, lines_of(arrivals.alerts), given_up)


def _judge(
    config: NightlyConfig,
    model: LoadedModel,
    window: PlannedWindow,
    run: InferenceRun,
    scratch: Path,
    told: tuple[Alert, ...],
) -> MonitorSummary:
    """Evaluate, report and notify after inference; the window is committed last."""
    version = model.version
    watching.keep_window(run, window.key)
    held_out = stores.require_reference(model.reference, version)
    reference = stores.pool_reference(held_out, version, window.key)
    occasion = Occasion(window.key, window.planned_at, version.name)
    found = watching.evaluate_window(config, model, occasion, run, reference)
    report = watching.report_window(found, occasion, run, reference, scratch / "drift")
    alerts = watching.notify(model, occasion, found)
    watching.remember_window(model, occasion, found, report)
    seen = Seen(report, found.health.checks, (*told, *alerts))
    stamp = f"{window.planned_at:%Y-%m-%d-%H%M}-{window.key[:8]}"
    done = watching.publish_window(version, run, seen, window.key, stamp)
    publish.announce(version, window.key, seen)
    watching.commit_window(config, window)
    watching.remove_old(config)
    return done
