"""The model card: what a version is, how and on which data it was measured, and what that omits."""

from __future__ import annotations

from components.contracts import BenchmarkReport, Check, Measurement, Verdict
from components.printing import counted
from components.tables import Table, interval, markdown_text, number
from components.vision.fit import describe_fit
from model_registry.description import Release, foveal_version

DESCRIPTION_LIMIT = 5000  # characters that MLflow's schema keeps of a version's description
_MARKS = {Verdict.PASS: "pass", Verdict.FAIL: "**fail**", Verdict.UNDECIDED: "undecided"}
_CLASSES_SHOWN = 20


def model_card(release: Release) -> str:
    """The card as Markdown, from the release's own measurements.

    The sections follow Mitchell et al., "Model Cards for Model Reporting" (2019), as far as a
    benchmark can fill them.
    """
    sections = (
        _summary(release),
        _variants(release.report),
        _checks(release),
        _data(release),
        _limits(release.report),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def description(card: str) -> str:
    """The card cut at a line's end to what a version's description may hold."""
    if len(card) <= DESCRIPTION_LIMIT:
        return card
    rest = "\n\n… continued in the run's artifact `model_card.md`."
    return card[: card.rindex("\n", 0, DESCRIPTION_LIMIT - len(rest))].rstrip() + rest


def _summary(release: Release) -> str:
    report, chosen = release.report, release.chosen
    spec = chosen.artifact.spec
    names = ", ".join(spec.class_names[:_CLASSES_SHOWN])
    more = len(spec.class_names) - _CLASSES_SHOWN
    lines = (
        f"# {markdown_text(release.name)}",
        "",
        f"**{chosen.variant}** for target **{markdown_text(report.target.name)}**.",
        "",
        f"- Task: {spec.task}, {counted(len(spec.class_names), 'class')}: {markdown_text(names)}"
        + (f" and {more} more" if more > 0 else ""),
        f"- Input: uint8 BGR, {spec.input_size[0]} × {spec.input_size[1]} px (height × width), "
        f"{describe_fit(spec)};"
        " the rest of the pre-processing is part of the model",
        f"- Passes: {' → '.join(record.name for record in chosen.artifact.history) or 'none'}",
        f"- Model sha256: `{chosen.artifact.sha256}`",
        f"- Bundle sha256: `{release.bundle.sha256}`",
        f"- Why this variant: {markdown_text('; '.join(report.reasons)) or 'not said'}",
    )
    return "\n".join(lines)


def _variants(report: BenchmarkReport) -> str:
    header = (
        "variant",
        "p50 ms [95 %]",
        "p95 ms",
        "speed-up [95 %]",
        "size MB",
        "peak MB",
        report.metric,
    )
    rows = [
        (
            f"**{m.variant}**" if m.variant == report.chosen else m.variant,
            *((m.error, *(None,) * 5) if m.error else _numbers(m, report.metric)),
        )
        for m in report.measurements
    ]
    return "## Measured\n\n" + Table(header, rows).to_markdown()


def _numbers(measurement: Measurement, metric: str) -> tuple[str, ...]:
    latency = measurement.latency
    return (
        interval((latency.p50_ms, latency.p50_low_ms, latency.p50_high_ms), ".1f"),
        number(latency.p95_ms, 1),
        interval(measurement.speedup, unit="×") if measurement.speedup else "baseline",
        number(measurement.size_mb, 1),
        number(measurement.peak_rss_mb, 0),
        number(measurement.accuracy.get(metric), 4),
    )


def _checks(release: Release) -> str:
    rows = [
        (c.name, number(c.value, 3), number(c.limit, 3), _verdict(c)) for c in release.chosen.checks
    ]
    if not rows:
        return ""
    table = Table(("limit", "measured", "allowed", "verdict"), rows)
    return f"## Against the target's budget\n\n{table.to_markdown()}"


def _verdict(check: Check) -> str:
    mark = _MARKS.get(check.verdict, "not evaluated")
    return f"{mark}: {check.reason}" if check.reason else mark


def _data(release: Release) -> str:
    lines = [f"- {role}: sha256 `{digest}`" for role, digest in release.dataset_hashes.items()]
    lines.append(f"- Accuracy rests on {release.chosen.images} validation images")
    if release.reference is not None:
        lines.append("- Drift is measured against the reference that is logged with this version")
    return "## Data\n\n" + "\n".join(lines)


def _limits(report: BenchmarkReport) -> str:
    lines = []
    if report.target.measured_on_host:
        lines.append(
            "- The budget is that of another device: latency and memory were *measured on host*"
        )
    if report.noise_floor is not None:
        lines.append(
            f"- Noise floor: the baseline against itself differed by up to {report.noise_floor:.1%}"
        )
    lines.append(
        "- Latency and accuracy hold for the machine and the images named here, and for no others"
    )
    facts = report.environment.items()
    machine = (f"- {markdown_text(key)}: {markdown_text(value)}" for key, value in facts)
    return "\n".join(
        ("## Limits", "", *lines, "", f"## Measured on (Foveal {foveal_version()})", "", *machine)
    )
