"""Summaries of flows: plain values for people (`flows.cli.main`) and for machines (`--json`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from components.contracts import (
    BenchmarkReport,
    Check,
    DriftReport,
    GateReport,
    InferenceRun,
    Measurement,
    ModelVersion,
    dump,
)
from components.monitoring.alerts.book import Alert
from components.monitoring.drift.calibration import AlarmPower, AlarmRate
from components.printing import counted
from components.tables import Table, interval, number
from components.vision.input_shape import InputShape
from flows.reporting.evidence import held_by

NO_IMAGES = "no images"  # the outcome of a night to which none came
# the outcome of a night that dropped what an earlier one had planned, and had nothing else
GIVEN_UP = "given up"


class Record:
    """Base of the summaries, which programs take as plain values."""

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values; paths are strings."""
        values: dict[str, Any] = dump(self)
        return values


@dataclass(frozen=True)
class VariantRow:
    """One line of the table of variants; None was not measured."""

    variant: str
    p50_ms: float | None
    p95_ms: float | None
    speedup: tuple[float, float, float] | None
    accuracy: float | None
    size_mb: float
    chosen: bool
    error: str = ""

    @classmethod
    def of(cls, measured: Measurement, report: BenchmarkReport) -> Self:
        """Sum up a measurement of a report."""
        speed = measured.latency.p50_ms, measured.latency.p95_ms, measured.speedup
        kept = measured.accuracy.get(report.metric), measured.size_mb
        chosen = measured.variant == report.chosen
        return cls(measured.variant, *speed, *kept, chosen, measured.error)

    def cells(self, *, errors: bool) -> tuple[str, ...]:
        """Format the row; see `variants_table`."""
        speed = interval(self.speedup, unit="×") if self.speedup else "baseline"
        if self.error:
            speed = self.error if errors else "failed"
        numbers = number(self.accuracy, 4), number(self.size_mb)
        return self.variant, number(self.p50_ms), number(self.p95_ms), speed, *numbers


def variants_table(rows: Sequence[VariantRow], metric: str, *, errors: bool) -> Table:
    """Lay out what each variant costs and keeps.

    Arguments:
        rows: the variants.
        metric: name of the accuracy.
        errors: say why a variant failed, or only that it did.
    """
    headings = ("variant", "p50 ms", "p95 ms", "speed [95 %]", metric, "MB")
    return Table(headings, [row.cells(errors=errors) for row in rows])


def reasons_of(report: BenchmarkReport) -> tuple[str, ...]:
    """List why variants fared as they did and caveats of the model's proof, one line each."""
    from components.optimize import remarks_on

    return (*report.reasons, *remarks_on(report.of(report.baseline).artifact))


def measured_on(report: BenchmarkReport) -> str:
    """On which machine variants were measured, and how noisy it was."""
    floor = (
        ""
        if report.noise_floor is None
        else f"; noise floor (A/A) ±{100 * report.noise_floor:.1f} %"
    )
    return f"measured on {_machine(report)}{floor}"


def _machine(report: BenchmarkReport) -> str:
    return (
        f"{report.environment.get('cpu', 'unknown CPU')}, "
        f"{report.environment.get('cores', '?')} cores"
    )


@dataclass(frozen=True)
class Window:
    """A batch of images and the drift decision on it."""

    images: int
    failed: int
    images_per_s: float
    state: str
    reasons: tuple[str, ...]
    predictions: Path
    report: Path

    @property
    def nothing_predicted(self) -> bool:
        """Tell whether every image failed."""
        return self.failed == self.images

    @classmethod
    def of(cls, run: InferenceRun, drift: DriftReport, folder: Path) -> Self:
        """The window of a finished batch whose files were kept in `folder`."""
        total, failed = run.processed + len(run.failures), len(run.failures)
        speed = total / run.seconds if run.seconds else 0.0
        state, reasons = drift.decision.state.value, drift.decision.reasons
        report = folder / "drift" / drift.html.name
        predictions = folder / "predictions" / run.images.name
        return cls(total, failed, speed, state, reasons, predictions, report)


@dataclass(frozen=True)
class ReleaseSummary(Record):
    """A finished release."""

    name: str
    version: int
    aliases: tuple[str, ...]
    metric: str
    target: str
    variants: tuple[VariantRow, ...]
    reasons: tuple[str, ...]
    noise_floor: float | None
    measured_on: str
    folder: Path
    bundle: Path
    gates: GateReport | None
    window: Window | None
    input_shape: InputShape | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines on what went wrong without stopping the release."""
        if self.window is None or not self.window.nothing_predicted:
            return ()
        found = f"none of {counted(self.window.images, 'image')} could be predicted"
        return (
            f"{self.name}/{self.version} is released, but {found}: see {self.window.predictions}",
        )

    @classmethod
    def of(
        cls,
        version: ModelVersion,
        report: BenchmarkReport,
        gates: GateReport | None,
        window: Window | None,
        *,
        folder: Path,
        archive: Path,
    ) -> Self:
        """Sum up what the chain produced."""
        rows = tuple(VariantRow.of(measured, report) for measured in report.measurements)
        target = report.target.name + (
            " (measured on host)" if report.target.measured_on_host else ""
        )
        return cls(
            version.name,
            version.version,
            version.aliases,
            report.metric,
            target,
            rows,
            reasons_of(report),
            report.noise_floor,
            _machine(report),
            folder,
            archive,
            gates,
            window,
        )

    @property
    def outcome(self) -> str:
        """Outcome: `champion`, `rejected: GATE`, `undecided` by its times, or `registered`."""
        if "champion" in self.aliases:
            return "champion"
        if self.gates and self.gates.to_measure_again:
            return "undecided"
        if self.gates and not self.gates.passed:
            return f"rejected: {held_by(self.gates) or 'no gate'}"
        return "registered"

    @property
    def headline(self) -> str:
        """The version, what ships, and why it is not the champion."""
        shipped = next((row.variant for row in self.variants if row.chosen), "no variant")
        held = "champion" not in self.aliases and self.gates and not self.gates.passed
        why = f"; {self.gates.reasons[0]}" if held and self.gates and self.gates.reasons else ""
        return f"version {self.version} ships {shipped} for {self.target}{why}"


def lines_of(alerts: Sequence[Alert]) -> tuple[str, ...]:
    """A line for each alert."""
    return tuple(f"{alert.status.value}: {alert.rule}: {alert.reason}" for alert in alerts)


@dataclass(frozen=True)
class Seen:
    """An evaluated window: report, health checks, and the alerts that began or ended with it."""

    report: DriftReport
    checks: tuple[Check, ...]
    alerts: tuple[Alert, ...]

    @property
    def told(self) -> tuple[str, ...]:
        """A line for each alert."""
        return lines_of(self.alerts)


@dataclass(frozen=True)
class MonitorSummary(Record):
    """A finished look at a window."""

    name: str
    version: int
    window: Window
    fires: bool
    checks: tuple[Check, ...]
    alerts: tuple[str, ...]
    folder: Path

    @classmethod
    def of(cls, version: ModelVersion, run: InferenceRun, seen: Seen, folder: Path) -> Self:
        """Sum up a window whose files were kept in `folder`."""
        window, fires = Window.of(run, seen.report, folder), seen.report.decision.fires
        return cls(version.name, version.version, window, fires, seen.checks, seen.told, folder)

    @property
    def outcome(self) -> str:
        return self.window.state.replace("_", " ")

    @property
    def headline(self) -> str:
        """Number of images, version, and the most important reason."""
        images = (
            f"{counted(self.window.images, 'image')}, {self.window.failed:,} unreadable, by "
            f"version {self.version}"
        )
        return "; ".join([images, *self.window.reasons[:1]])


@dataclass(frozen=True)
class NightlySummary(Record):
    """A finished night; without new images there is nothing to show."""

    name: str
    version: int
    shown: MonitorSummary | None
    quiet: tuple[str, ...] = ()  # what was told of a night without images
    given_up: tuple[
        str, ...
    ] = ()  # a line for each window that an earlier night had planned and that is dropped

    @property
    def outcome(self) -> str:
        """The drift decision, or that no image came or could be read."""
        if self.shown:
            return self.shown.outcome
        return GIVEN_UP if self.given_up else NO_IMAGES

    @property
    def headline(self) -> str:
        """As of a look by hand."""
        quiet = f"no image has come since the last night of version {self.version}"
        if self.shown:
            return self.shown.headline
        return self.given_up[-1] if self.given_up else quiet

    def to_json(self) -> dict[str, Any]:
        """Return plain values as `MonitorSummary` does: string paths, no window without images."""
        dropped: dict[str, Any] = {"given_up": list(self.given_up)} if self.given_up else {}
        if self.shown:
            return {**self.shown.to_json(), **dropped}
        return {
            "name": self.name,
            "version": self.version,
            "window": None,
            "alerts": list(self.quiet),
            **dropped,
        }


@dataclass(frozen=True)
class Calibration(Record):
    """Error rates of the drift policy on a model's own reference.

    Arguments:
        model: name and version.
        reference_images: of the reference that windows are compared with.
        accepted_windows: how many are pooled in it.
        false_alarms: by window size, of random and of contiguous parts of the reference.
        nights: of the accepted windows themselves, each against the reference without it; None with
            fewer than two.
        power: by damage; empty when no images to damage were given.
        power_images: per window of `power`.
    """

    model: str
    reference_images: int
    accepted_windows: int
    false_alarms: tuple[AlarmRate, ...]
    nights: AlarmRate | None
    power: tuple[AlarmPower, ...]
    power_images: int
