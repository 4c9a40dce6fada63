"""The page a person opens first: verdict, advice, pictures of what moved; one file, no scripts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.monitoring.drift.pairs import label
from components.monitoring.drift.tables import family_of
from components.monitoring.report import sections
from components.monitoring.report.findings import Findings
from components.monitoring.report.trends import MAX, draw_trends
from components.printing import counted, printed

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(findings: Findings, *, evidently: str | None, now: datetime | None = None) -> str:
    """Render the report as HTML.

    Arguments:
        findings: what is said.
        evidently: relative link to Evidently's page, or None when there is none.
        now: when the report is made; by default the present time.
    """
    points = findings.trend[-MAX:]
    template = _environment().get_template("page.html.j2")
    return template.render(
        findings=findings,
        decision=findings.decision,
        made=now or datetime.now(UTC),
        points=points,
        trends=draw_trends(points),
        moved=sections.moved(findings),
        predictions=sections.predictions(findings),
        classes=sections.class_mix(findings),
        scores=sections.scores(findings.accuracy),
        quality=sections.quality(findings.quality),
        evidently=evidently,
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
