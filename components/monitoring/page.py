"""The page a person opens first: the verdict, why, and pictures of what moved; one file without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from components.contracts import ColumnDrift, DriftDecision, DriftState, InferenceRun
from components.monitoring.charts import draw
from components.monitoring.pairs import Pair
from components.monitoring.tables import PREDICTION_PREFIX, is_prediction

_VERDICTS = {
    DriftState.OK: "No drift",
    DriftState.WARN: "Worth a look",
    DriftState.DRIFT: "Drift",
    DriftState.INSUFFICIENT_DATA: "Too few images to tell",
}
_CHARTS = 6
_FAILURES = 50


def render_page(
    run: InferenceRun,
    decision: DriftDecision,
    pairs: Sequence[Pair],
    *,
    evidently: str | None,
    now: datetime | None = None,
) -> str:
    """The report as HTML.

    Arguments:
        run: the window.
        decision: what is said of it.
        pairs: the columns that were compared, in both tables.
        evidently: relative link to Evidently's page, or None when there is none.
        now: when the report is made; by default the present time.
    """
    by_name = {pair.column: pair for pair in pairs}
    sections = [
        _reasons(decision),
        _charts(decision.columns, by_name),
        _columns(decision.columns, by_name),
        _failed_images(run),
        _evidently(evidently),
    ]
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{_VERDICTS[decision.state]}: {run.model}"),
        state=decision.state.value,
        verdict=_VERDICTS[decision.state],
        headline=escape(_headline(decision)),
        facts=_facts(run, decision, now or datetime.now(UTC)),
        sections="\n".join(section for section in sections if section),
    )


def label(column: str) -> str:
    """A column's name as people say it, such as ``"confidence mean"`` for ``prediction_confidence_mean``."""
    return column.removeprefix(PREDICTION_PREFIX).replace("_", " ")


def _headline(decision: DriftDecision) -> str:
    moved, total = sum(column.drifted for column in decision.columns), len(decision.columns)
    if decision.state is DriftState.DRIFT:
        return f"{moved} of {total} columns moved beyond their limits: these images are not like the accepted ones."
    if decision.state is DriftState.WARN:
        return "Nothing moved beyond its limit, but something should be looked at."
    if decision.state is DriftState.OK:
        return f"None of {total} columns moved beyond its limit: these images look like the accepted ones."
    return "A comparison would say more about chance than about the images."


def _facts(run: InferenceRun, decision: DriftDecision, now: datetime) -> str:
    facts = {
        "Model": run.model,
        "Images in this window": f"{decision.window_samples:,}",
        "Images in the reference": f"{decision.reference_samples:,}",
        "Images that failed": f"{len(run.failures):,}",
        "Made (UTC)": f"{now:%Y-%m-%d %H:%M}",
    }
    return "\n".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())


def _reasons(decision: DriftDecision) -> str:
    lines = "\n".join(f"<li>{escape(reason)}</li>" for reason in decision.reasons)
    return f"<section>\n<h2>Why</h2>\n<ul>\n{lines}\n</ul>\n</section>"


def _charts(columns: Sequence[ColumnDrift], pairs: dict[str, Pair]) -> str:
    shown = [column.column for column in columns if column.distance > 0][:_CHARTS]
    if not shown:
        return ""
    figures = "\n".join(
        f"<figure>\n<figcaption>{escape(label(name))}<span>{escape(pairs[name].describe())}</span></figcaption>\n"
        f"{draw(pairs[name])}\n</figure>"
        for name in shown
    )
    key = '<span class="key"></span>reference<span class="key now"></span>this window'
    return (
        f'<section>\n<h2>What moved most</h2>\n<p class="soft">Share of the images.{key}</p>\n'
        f'<div class="charts">\n{figures}\n</div>\n</section>'
    )


def _columns(columns: Sequence[ColumnDrift], pairs: dict[str, Pair]) -> str:
    if not columns:
        return ""
    rows = "\n".join(_row(column, pairs[column.column].describe()) for column in columns)
    return (
        "<section>\n<h2>Every column</h2>\n"
        '<p class="soft">The distance is 0 when window and reference are alike and 1 when they have nothing in '
        "common: the largest gap between the cumulative distributions of numbers, half the summed difference of the "
        "shares of classes. The mark on a bar is the limit; it is higher where few images leave more to chance. "
        "p is the chance of such a distance without any change, adjusted for the number of columns.</p>\n"
        '<div class="wide">\n<table class="columns">\n<thead><tr><th>Column</th><th>About</th>'
        "<th>Distance and limit</th><th></th>"
        f"<th>Reference → window</th><th>p</th></tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n</section>"
    )


def _row(column: ColumnDrift, change: str) -> str:
    about = "prediction" if is_prediction(column.column) else "image"
    if column.p_value is None:
        chance, change = "–", "always the same"
    else:
        chance = f"{column.p_value:.2g}" if column.p_value >= 0.001 else "< 0.001"
    moved = ' class="moved"' if column.drifted else ""
    fill, mark = (f"{min(value, 1):.1%}" for value in (column.distance, column.threshold))
    return (
        f'<tr{moved}><td title="{escape(column.column)}">'
        f'{escape(label(column.column))}</td><td class="about">{about}</td>'
        f'<td class="meter"><span class="bar"><i style="width:{fill}"></i><b style="left:{mark}"></b></span></td>'
        f'<td class="number size">{column.distance:.2f} / {column.threshold:.2f}</td>'
        f'<td class="change">{escape(change)}</td><td class="number p">{escape(chance)}</td></tr>'
    )


def _failed_images(run: InferenceRun) -> str:
    if not run.failures:
        return ""
    rows = "\n".join(
        f"<tr><td><code>{escape(failure.image_id)}</code></td><td>{escape(failure.error)}</td></tr>"
        for failure in run.failures[:_FAILURES]
    )
    more = len(run.failures) - _FAILURES
    note = f'<p class="soft">… and {more:,} more, in the run\'s table.</p>\n' if more > 0 else ""
    return (
        f"<section>\n<h2>Images that failed</h2>\n"
        f'<div class="wide">\n<table>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n{note}</section>'
    )


def _evidently(link: str | None) -> str:
    if link is None:
        return ""
    return (
        "<section>\n<h2>Evidently's report</h2>\n"
        f'<p>Every column in detail, with the same distances and limits: <a href="{escape(link)}">open it</a>.</p>\n'
        f'<details><summary>Show it here</summary><iframe src="{escape(link)}" loading="lazy" '
        'title="Evidently\'s report"></iframe></details>\n</section>'
    )
