"""The page a person opens first: verdict, what to do, pictures of what moved; one file, no scripts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.contracts import DriftDecision, DriftState, Verdict
from components.monitoring.drift.pairs import label
from components.monitoring.drift.tables import family_of
from components.monitoring.report import sections
from components.monitoring.report.findings import Findings
from components.monitoring.report.trends import MAX, draw_trends
from components.printing import counted, printed

if TYPE_CHECKING:
    from jinja2 import Environment

_STATES = {
    DriftState.OK: "No drift",
    DriftState.WARN: "Worth a look",
    DriftState.DRIFT: "Drift",
    DriftState.INSUFFICIENT_DATA: "Too few images to tell",
    DriftState.DATA_FAULT: "Data fault",
}
_VERDICTS = {
    Verdict.PASS: "holds",
    Verdict.FAIL: "alert",
    Verdict.UNDECIDED: "undecided",
    Verdict.NOT_EVALUATED: "not evaluated",
}
_MAX_ERRORS = 10


def render_page(findings: Findings, *, evidently: str | None, now: datetime | None = None) -> str:
    """Render the report as HTML.

    Arguments:
        findings: what is said.
        evidently: relative link to Evidently's page, or None when there is none.
        now: when the report is made; by default the present time.
    """
    decision, points = findings.decision, findings.trend[-MAX:]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            findings=findings,
            decision=decision,
            verdict=_STATES[decision.state],
            verdicts=_VERDICTS,
            headline=_headline(decision),
            made=f"{now or datetime.now(UTC):%Y-%m-%d %H:%M}",
            points=points,
            trends=draw_trends(points),
            moved=sections.moved(findings),
            predictions=sections.predictions(findings),
            classes=sections.class_mix(findings),
            scores=sections.scores(findings.accuracy),
            max_errors=_MAX_ERRORS,
            quality=sections.quality(findings.quality),
            evidently=evidently,
        )
    )


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_spelled,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "counted": counted,
        "family": family_of,
        "grouped": "{:,}".format,
        "label": label,
        "percent": "{:.1%}".format,
    }
    return environment


def _spelled(value: object) -> object:
    """Spell out controls in a text, as in a terminal; the template's own markup stays as it is."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return printed(str(value)) if is_text else value


def _headline(decision: DriftDecision) -> str:
    moved = sum(column.drifted for column in decision.columns)
    total = counted(len(decision.columns), "column")
    return {
        DriftState.OK: f"None of {total} moved beyond its limit: these images look like the accepted ones.",
        DriftState.WARN: "Something moved, but not often enough to be called a drift.",
        DriftState.DRIFT: f"{moved} of {total} moved beyond the limit: these images are unlike the accepted ones.",
        DriftState.INSUFFICIENT_DATA: "A comparison would say more about chance than about the images.",
        DriftState.DATA_FAULT: "These images are broken, not different: mend the source before anything else.",
    }[decision.state]
