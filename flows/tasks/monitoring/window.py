"""Monitoring tasks, nightly and by hand, uncached; each works once under the window's key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.contracts import DriftDecision, DriftReport, InferenceRun, LoadedModel, ModelVersion
from components.errors import OutageError
from components.images.sources import is_gone, list_images
from components.monitoring import PlannedWindow, Watermark
from components.monitoring.alerts.book import Alert, check_arrivals, check_places
from components.monitoring.alerts.health import Health, HealthContext, check_health
from components.monitoring.drift.tables import read_reference
from components.monitoring.store.store import content_of
from components.monitoring.store.stored import (
    EvaluatedWindow,
    TrendPoint,
    engine_times,
    evaluated_windows,
    remember,
)
from components.printing import counted
from flows.config.monitor import MonitorConfig, NightlyConfig, WatchConfig
from flows.reporting import publish
from flows.reporting.progress import note
from flows.reporting.summary import MonitorSummary, Seen
from flows.runtime.settings import Settings
from flows.tasks.components import keep
from flows.tasks.monitoring.health import Occasion, accuracy_of, sound_nights, tell
from flows.tasks.steps import Images, step
from flows.tasks.stores import log_drift, registry, store

# with places that do not answer, before the images that are due on them are given up
PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Evaluation:
    """Decision on a window, and results of those before it.

    Arguments:
        decision: of the drift policy.
        health: checks of drift, accuracy, latency and errors.
        trend: what reports show of earlier windows, in time order.
    """

    decision: DriftDecision
    health: Health
    trend: tuple[TrendPoint, ...]


@dataclass(frozen=True)
class Planned:
    """The window to work on, if there is one, and a line for each that was given up."""

    window: PlannedWindow | None
    given_up: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arrivals:
    """Alerts about a source of images, and the key that they were told under."""

    key: str
    alerts: tuple[Alert, ...] = ()


@step("keep images", cached=False, retries=2)
def keep_looked_at(config: MonitorConfig, run: InferenceRun) -> Occasion:
    """Add the rows of a look by hand to the store, once; a time range's are there already."""
    key = content_of(run) if config.images is None else store().append(run)
    looked_at = config.images or f"{config.since or 'the beginning'} to {config.until or 'now'}"
    return Occasion(key, datetime.now(UTC), f"{config.name}: {looked_at}", alone=True)


@step("plan window", cached=False, retries=5)
def plan_window(config: NightlyConfig, version: ModelVersion) -> Planned:
    """Plan the images that no earlier window had; an earlier run's unfinished window comes first.

    One whose images are all gone is given up: it would fail every night.
    """
    images, now = list_images(config.images, may_be_empty=True), datetime.now(UTC)
    listed, watermark = {image.address for image in images}, _watermark(config)
    given_up: list[str] = []
    while window := watermark.next_window(
        images, at=now, limit=config.most_images, version=str(version.version)
    ):
        if window.planned_at == now:
            return Planned(window, tuple(given_up))
        if not all(is_gone(image, listed) for image in window.images):
            count = counted(len(window.images), "image")
            note(
                [
                    "goes on with an unfinished night, planned at "
                    f"{window.planned_at:%Y-%m-%d %H:%M} UTC: {count}"
                ]
            )
            return Planned(window, tuple(given_up))
        watermark.commit(window)
        given_up.append(
            f"gave up the window of {window.planned_at:%Y-%m-%d %H:%M} UTC: none of its "
            f"{counted(len(window.images), 'image')} is there any more, such as "
            f"{window.images[0].image_id}"
        )
    return Planned(None, tuple(given_up))


@step("version of plan", cached=False, retries=5)
def version_of_plan(window: PlannedWindow, current: ModelVersion) -> str:
    """Return the version that a window was planned for, if it is not the current one; else "".

    A plan for a version that was deleted since is seen to its end by the current one: it would fail
    every night.
    """
    if window.version in ("", str(current.version)):
        # otherwise planned before another version was promoted
        return ""
    if any(str(known.version) == window.version for known in registry().versions(current.name)):
        return window.version
    note([
        f"the window of {window.planned_at:%Y-%m-%d %H:%M} UTC was planned for version "
        f"{window.version} of "
        f"{current.name}, which was deleted; goes on with version {current.version}"
    ])  # fmt: skip
    return ""


def has_waited(window: PlannedWindow) -> bool:
    """Tell whether a window was planned so long ago that a silent place will hardly come back."""
    return datetime.now(UTC) - window.planned_at > PATIENCE


@step("give up window", cached=False, retries=5)
def give_up(config: NightlyConfig, window: PlannedWindow, error: OutageError) -> str:
    """Enter a window's images, unreadable for days, as done; return the line that says so."""
    _watermark(config).commit(window)
    return (
        f"gave up the window of {window.planned_at:%Y-%m-%d %H:%M} UTC with "
        f"{counted(len(window.images), 'image')} after {PATIENCE.days} days: {error}"
    )


@step("watch source", cached=False, retries=5)
def watch_source(
    config: NightlyConfig, version: ModelVersion, window: PlannedWindow | None
) -> Arrivals:
    """Tell people, once, that no images come any more, and that they come again."""
    now, subject = datetime.now(UTC), f"{config.name}: {config.images}"
    key = f"{window.key}-arrivals" if window else f"quiet-{now:%Y%m%dT%H%M%S%f}"
    if config.quiet_hours is None:
        return Arrivals(key)
    since = now if window else _watermark(config).last_found(at=now)
    check = check_arrivals(since, now=now, limit_hours=config.quiet_hours, source=config.images)
    return Arrivals(key, tell(version, Occasion(key, now, subject), [check]))


@step("watch places", cached=False, retries=5)
def watch_places(
    config: NightlyConfig, version: ModelVersion, window: PlannedWindow, run: InferenceRun
) -> Arrivals:
    """Tell people, once, that hosts or mounts did not answer, and that they answer again."""
    key, subject = f"{window.key}-places", f"{config.name}: {config.images}"
    check = check_places(run.unreachable, len(window.images))
    return Arrivals(key, tell(version, Occasion(key, datetime.now(UTC), subject), [check]))


def images_of(window: PlannedWindow) -> Images:
    """The images of a window, as something to run on."""
    return Images(f"window {window.key[:24]}", window.images)


@step("keep window", cached=False, retries=5)
def keep_window(run: InferenceRun, key: str) -> None:
    """Add a window's rows to the monitoring store, once."""
    store().append(run, key=key)


@step("evaluate window", cached=False, retries=5)
def evaluate_window(
    config: WatchConfig, model: LoadedModel, occasion: Occasion, run: InferenceRun, reference: Path
) -> Evaluation:
    """Decide on a window, and look at its health."""
    from components.monitoring import assess
    from components.monitoring.store.reference import read_labels

    name, number, memory = model.version.name, model.version.version, store()
    earlier = [past for past in evaluated_windows(memory, name, number) if past.key != occasion.key]
    history = None if occasion.alone else [past.past for past in earlier]
    decision = assess(run, reference, config.drift, history=history, now=occasion.at)
    health = check_health(
        run,
        read_reference(reference),
        decision,
        HealthContext(
            labels=read_labels(reference),
            accuracy=accuracy_of(
                config, model, run if occasion.alone else sound_nights(earlier, occasion, decision)
            ),
            accepted=engine_times(memory, name, number, earlier),
            summaries=[past.summary for past in earlier if past.accepted],
        ),
        policy=config.alerts,
    )
    return Evaluation(decision, health, tuple(past.trend_point for past in earlier))


@step("report window", cached=False, retries=5)
def report_window(
    found: Evaluation, occasion: Occasion, run: InferenceRun, reference: Path, output: Path
) -> DriftReport:
    """Write the report of a window, here and to Evidently's workspace."""
    from components.monitoring import write_report
    from components.monitoring.report.findings import ReportContext

    return write_report(
        run,
        reference,
        found.decision,
        output,
        context=ReportContext(
            trend=found.trend,
            checks=found.health.checks,
            accuracy=found.health.accuracy,
            at=None if occasion.alone else occasion.at,
        ),
        workspace=Settings.from_environment().evidently,
    )


@step("notify", cached=False, retries=5)
def notify(model: LoadedModel, occasion: Occasion, found: Evaluation) -> tuple[Alert, ...]:
    """Tell people what began and what ended with a window, once."""
    return tell(model.version, occasion, found.health.checks)


@step("remember window", cached=False, retries=5)
def remember_window(
    model: LoadedModel, occasion: Occasion, found: Evaluation, report: DriftReport
) -> None:
    """Keep what was said of a window for those after it; the last to be written of it."""
    from components.monitoring.report.report import read_trend_point

    version, checks = model.version, {check.name: check.verdict for check in found.health.checks}
    point = read_trend_point(report)
    judged = EvaluatedWindow(
        occasion.key, occasion.at, found.decision, found.health.summary, point, checks
    )
    remember(store(), version.name, version.version, judged)


def publish_window(
    version: ModelVersion,
    run: InferenceRun,
    seen: Seen,
    key: str,
    stamp: str,
) -> MonitorSummary:
    """Keep an evaluated window in MLflow and in a folder for people, and show it in Prefect.

    Arguments:
        version: that predicted the window.
        run: its predictions.
        seen: the report, the checks and the alerts.
        key: names the window in MLflow.
        stamp: names its folder, after the number of the version.
    """
    page = log_drift(version, seen.report, key)
    folder = keep(
        Settings.from_environment().root
        / "monitoring"
        / version.name
        / f"{version.version}-{stamp}",
        {"predictions": run.folder, "drift": seen.report.html.parent},
    )
    publish.drift(seen.report.at(folder / "drift"), version, page, run, seen)
    return MonitorSummary.of(version, run, seen, folder)


@step("commit window", cached=False, retries=5)
def commit_window(config: NightlyConfig, window: PlannedWindow) -> None:
    """Enter the window's images into the ledger: they are done."""
    _watermark(config).commit(window)


@step("remove old rows", cached=False, retries=5)
def remove_old(config: NightlyConfig) -> None:
    """Remove stored rows that are older than `keep_days`, whether images came or not."""
    if config.keep_days and store().windows(config.name):
        store().retain(config.name, before=config.keep_days)


def _watermark(config: NightlyConfig) -> Watermark:
    return Watermark(Settings.from_environment().store, config.name, config.images)
