"""The page a person opens first: the verdict, what to do, and pictures of what moved; one file without scripts."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from components.contracts import ColumnDrift, DriftDecision, DriftState
from components.monitoring.drift.pairs import label
from components.monitoring.drift.tables import family_of
from components.monitoring.report import sections
from components.monitoring.report.findings import Findings
from components.monitoring.report.sections import section
from components.printing import counted

_VERDICTS = {
    DriftState.OK: "No drift",
    DriftState.WARN: "Worth a look",
    DriftState.DRIFT: "Drift",
    DriftState.INSUFFICIENT_DATA: "Too few images to tell",
    DriftState.DATA_FAULT: "Data fault",
}


def render_page(findings: Findings, *, evidently: str | None, now: datetime | None = None) -> str:
    """The report as HTML.

    Arguments:
        findings: what is said.
        evidently: relative link to Evidently's page, or None when there is none.
        now: when the report is made; by default the present time.
    """
    decision = findings.decision
    parts = [
        sections.advice(findings),
        sections.reasons(findings),
        sections.alerts(findings),
        sections.pictures(findings),
        sections.trends(findings),
        sections.moved(findings),
        sections.predictions(findings),
        sections.accuracy(findings),
        sections.worst(findings),
        sections.errors(findings),
        sections.quality(findings),
        _columns(findings),
        _evidently(evidently),
    ]
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{_VERDICTS[decision.state]}: {findings.run.model}"),
        state=decision.state.value,
        verdict=_VERDICTS[decision.state],
        headline=escape(_headline(decision)),
        facts=_facts(findings, now or datetime.now(UTC)),
        sections="\n".join(part for part in parts if part),
    )


def _headline(decision: DriftDecision) -> str:
    moved, total = sum(column.drifted for column in decision.columns), len(decision.columns)
    if decision.state is DriftState.DRIFT:
        return (
            f"{moved} of {counted(total, 'column')} moved beyond the limit: these images are unlike the accepted ones."
        )
    if decision.state is DriftState.WARN:
        return "Something moved, but not often enough to be called a drift."
    if decision.state is DriftState.OK:
        return f"None of {counted(total, 'column')} moved beyond its limit: these images look like the accepted ones."
    if decision.state is DriftState.DATA_FAULT:
        return "These images are broken, not different: mend the source before anything else."
    return "A comparison would say more about chance than about the images."


def _facts(findings: Findings, now: datetime) -> str:
    decision = findings.decision
    facts = {
        "Model": findings.run.model,
        "Images in this window": f"{decision.window_samples:,}",
        "Images in the reference": f"{decision.reference_samples:,}",
        "Images that failed": f"{len(findings.run.failures):,}",
        "Made (UTC)": f"{now:%Y-%m-%d %H:%M}",
    }
    return "\n".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())


def _columns(findings: Findings) -> str:
    columns = findings.decision.columns
    if not columns:
        return ""
    rows = "\n".join(_row(column, findings.pairs[column.column].describe()) for column in columns)
    return section(
        "Every column",
        '<p class="soft">The distance is 0 when window and reference are alike and 1 when they have nothing in '
        "common: the largest gap between the cumulative distributions of numbers, half the summed difference of the "
        "shares of classes. The mark on a bar is the limit; it is higher where few images leave more to chance. "
        "p is the chance of such a distance without any change, adjusted for the number of columns.</p>\n"
        '<div class="wide">\n<table class="columns">\n<thead><tr><th>Column</th><th>About</th>'
        "<th>Distance and limit</th><th></th>"
        f"<th>Reference → window</th><th>p</th></tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>",
    )


def _row(column: ColumnDrift, change: str) -> str:
    if column.p_value is None:
        chance, change = "–", "always the same"
    else:
        chance = f"{column.p_value:.2g}" if column.p_value >= 0.001 else "< 0.001"
    moved = ' class="moved"' if column.drifted else ""
    fill, mark = (f"{min(value, 1):.1%}" for value in (column.distance, column.threshold))
    return (
        f'<tr{moved}><td title="{escape(column.column)}">'
        f'{escape(label(column.column))}</td><td class="about">{family_of(column.column)}</td>'
        f'<td class="meter"><span class="bar"><i style="width:{fill}"></i><b style="left:{mark}"></b></span></td>'
        f'<td class="number size">{column.distance:.2f} / {column.threshold:.2f}</td>'
        f'<td class="change">{escape(change)}</td><td class="number p">{escape(chance)}</td></tr>'
    )


def _evidently(link: str | None) -> str:
    if link is None:
        return ""
    text = "The drift of every column with the same limits, a summary of the farthest, and tests of the data: "
    # MLflow shows this page in a frame from which no link leads out.
    where = (
        f'<a href="{escape(link)}">open it</a>; in MLflow choose {escape(link)} in the list of files beside this page'
    )
    return section("Evidently's report", f"<p>{text}{where}.</p>")
