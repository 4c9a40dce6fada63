"""The parts of the report's page under the verdict, each a section of HTML or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

import numpy as np

from components.contracts import Verdict
from components.monitoring.drift.pairs import Pair, label, short
from components.monitoring.report.charts import draw
from components.monitoring.report.findings import CLASSES, CONFIDENCES, COUNT, Findings, Worst
from components.monitoring.report.trends import MAX, draw_trends
from components.monitoring.store.pictures import Picture
from components.printing import counted
from components.vision.scores import Score

_CHARTS = 6
_CLASSES = 10
_ERRORS = 10
_SIZES = 3
_ACCURACIES = 12  # classes and slices, the worst first
_VERDICTS = {
    Verdict.PASS: "holds",
    Verdict.FAIL: "alert",
    Verdict.UNDECIDED: "undecided",
    Verdict.NOT_EVALUATED: "not evaluated",
}


def section(title: str, body: str) -> str:
    """A titled part of the page; nothing when the body is empty."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>" if body else ""


def table(rows: Sequence[Sequence[str]], heads: Sequence[str] = ()) -> str:
    """Rows of cells, which are HTML already."""
    head = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in heads)}</tr></thead>\n" if heads else ""
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide">\n<table>\n{head}<tbody>\n{body}\n</tbody>\n</table>\n</div>' if rows else ""


def advice(findings: Findings) -> str:
    """Render the advice, each with its reason."""
    items = "\n".join(
        f'<li>{escape(one.what)}<span class="soft">{escape(one.because)}</span></li>' for one in findings.advice
    )
    return section("What to do", f'<ol class="advice">\n{items}\n</ol>' if items else "")


def reasons(findings: Findings) -> str:
    """The policy's own words."""
    lines = "\n".join(f"<li>{escape(reason)}</li>" for reason in findings.decision.reasons)
    return section("Why", f"<ul>\n{lines}\n</ul>")


def alerts(findings: Findings) -> str:
    """The checks of accuracy, latency and error rate."""
    rows = [
        (
            f'<span class="tag {check.verdict.value}">{_VERDICTS[check.verdict]}</span>',
            f'{escape(label(check.name))}<span class="soft">{escape(check.reason)}</span>',
        )
        for check in findings.checks
    ]
    return section("Alerts", table(rows))


def trends(findings: Findings) -> str:
    """Lines over the windows."""
    figures = "\n".join(_figure(title, change, svg) for title, change, svg in draw_trends(findings.trend))
    note = f'<p class="soft">The last {min(len(findings.trend), MAX)} windows, this one at the right.</p>\n'
    return section("Over time", f'{note}<div class="charts">\n{figures}\n</div>' if figures else "")


def pictures(findings: Findings) -> str:
    """Images of the window beside those of the reference."""
    if not findings.representative:
        return ""
    drifted = findings.drifted
    if drifted:
        title = "Images that show the change"
        note = f"Chosen among those that differ most in {', '.join(label(name) for name in drifted[:3])}, no two alike."
    else:
        title, note = "What the images look like", "Evenly spread over the window."
    parts = [f'<p class="soft">{escape(note)}</p>']
    for name, shown in (("This window", findings.representative), ("Reference", findings.ordinary)):
        if shown:
            parts.append(f'<h3>{name}</h3>\n<div class="pictures">\n{_gallery(shown)}\n</div>')
    return section(title, "\n".join(parts))


def moved(findings: Findings) -> str:
    """Distributions of the columns that moved most, but for those that `predictions` shows."""
    told = {*CLASSES, *CONFIDENCES, COUNT}
    shown = [one.column for one in findings.decision.columns if one.distance > 0 and one.column not in told][:_CHARTS]
    return section("What moved most", _charts([findings.pairs[name] for name in shown]))


def predictions(findings: Findings) -> str:
    """Class mix, confidence, and detections of an image, before and after."""
    charts = _charts([findings.pairs[name] for name in (*CONFIDENCES, COUNT) if name in findings.pairs])
    classes = next((findings.pairs[name] for name in CLASSES if name in findings.pairs), None)
    mix = _class_mix(classes) if classes is not None and classes.is_category else ""
    return section("What the model said", charts + mix)


def _class_mix(pair: Pair) -> str:
    names, before, after = pair.shares()
    ranked = np.argsort(-np.maximum(before, after), kind="stable")[:_CLASSES]
    most = max(float(before.max()), float(after.max()))
    rows = [
        (
            escape(str(names[k])),
            f'<span class="bars"><i style="width:{before[k] / most:.1%}"></i>'
            f'<b style="width:{after[k] / most:.1%}"></b></span>',
            f'<span class="figure">{before[k]:.1%} → {after[k]:.1%}</span>',
        )
        for k in ranked
    ]
    rest = counted(len(names) - len(ranked), "rarer class")
    note = f'<p class="soft">… and {rest}.</p>' if len(names) > len(ranked) else ""
    return f"<h3>Most likely class of an image</h3>\n{table(rows)}{note}"


def accuracy(findings: Findings) -> str:
    """Scores of the whole, then of the worst classes and slices."""
    report = findings.accuracy
    if report is None:
        return ""
    how = f"Estimated ({report.method}): no label was seen." if report.estimated else "Measured with labels."
    count = f"{counted(report.matched, 'image')} with a label" if not report.estimated else ""
    parts = [*report.classes.items(), *report.slices.items()]
    parts = sorted(parts, key=lambda part: 2.0 if part[1].value is None else part[1].value)[:_ACCURACIES]
    rows = [(escape(name), *_score(score)) for name, score in (*report.scores.items(), *parts)]
    note = f'<p class="soft">{escape(how)} {count}</p>\n'
    return section("Accuracy", note + table(rows, ("", "Score", "95 % interval", "From")))


def _score(score: Score) -> tuple[str, str, str]:
    if score.value is None or score.low is None or score.high is None:
        return "–", escape(score.reason), f"{score.samples:,}"
    return f"{score.value:.3f}", f"{score.low:.3f}–{score.high:.3f}", f"{score.samples:,}"


def worst(findings: Findings) -> str:
    """Images unlike the reference's, and those the model is least sure of."""
    parts = [
        f'<h3>{title}</h3>\n<div class="pictures">\n{"".join(_worst(one) for one in shown)}\n</div>'
        for title, shown in (("Least like the reference", findings.unusual), ("Least confident", findings.unsure))
        if shown
    ]
    return section("Images to look at first", "\n".join(parts))


def errors(findings: Findings) -> str:
    """Render the reasons why images failed, the most frequent first."""
    rows = [
        (f"{group.count:,}", escape(group.message), _names(group.names, group.count))
        for group in findings.errors[:_ERRORS]
    ]
    rest = sum(group.count for group in findings.errors[_ERRORS:])
    note = f'<p class="soft">… and {rest:,} more for other reasons, in the run\'s table.</p>' if rest else ""
    return section("Images that failed", table(rows, ("Images", "Reason", "Such as")) + note)


def _names(names: Sequence[str], count: int) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return ", ".join(f"<code>{escape(name)}</code>" for name in names) + more


def quality(findings: Findings) -> str:
    """The state of the rows themselves."""
    found = findings.quality
    sizes = ", ".join(f"{size} ({count:,})" for size, count in list(found.sizes.items())[:_SIZES])
    more = len(found.sizes) - _SIZES
    rows = [
        ("Images", f"{found.rows:,}"),
        ("Without a prediction", _share(found.failed, found.rows)),
        (
            "Files that repeat another one",
            "not known" if found.duplicates is None else _share(found.duplicates, found.rows),
        ),
        ("Blank images", _share(found.blank, found.rows)),
        ("Sizes in px", escape(sizes + (f" and {more} more" if more > 0 else "")) or "none"),
        ("Predicted (UTC)", _span(found.first, found.last)),
        ("Inference of an image", _latency(found.latency_ms)),
        *(
            (f"No value in {escape(label(name))}", _share(count, found.rows - found.failed))
            for name, count in found.missing.items()
        ),
    ]
    return section("Data quality", table(rows))


def _span(first: datetime | None, last: datetime | None) -> str:
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}" if first and last else "not known"


def _latency(latency_ms: tuple[float, float] | None) -> str:
    return "not known" if latency_ms is None else f"p50 {short(latency_ms[0])} ms, p95 {short(latency_ms[1])} ms"


def _share(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if count else "0"


def _charts(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    figures = "\n".join(_figure(label(pair.column), pair.describe(), draw(pair)) for pair in pairs)
    key = "".join(
        f'<span class="figure"><span class="{mark}"></span>{name}</span> '
        for mark, name in (("key", "reference"), ("key now", "this window"))
    )
    return f'<p class="soft">Share of the images.{key}</p>\n<div class="charts">\n{figures}\n</div>'


def _figure(title: str, change: str, svg: str) -> str:
    return f"<figure>\n<figcaption>{escape(title)}<span>{escape(change)}</span></figcaption>\n{svg}\n</figure>"


def _gallery(shown: Sequence[Picture]) -> str:
    return "\n".join(
        f"<figure>{_image(picture)}<figcaption>{_name(picture.name)}</figcaption></figure>" for picture in shown
    )


def _worst(one: Worst) -> str:
    image = _image(one.picture) if one.picture else ""
    return f"<figure>{image}<figcaption>{_name(one.name)}<span>{escape(one.why)}</span></figcaption></figure>\n"


def _image(picture: Picture) -> str:
    return f'<img src="{escape(picture.source)}" alt="{escape(picture.name)}">'


def _name(name: str) -> str:
    """Render a name; of a long path the end, which says more than its beginning."""
    return f'<code title="{escape(name)}">{escape(name if len(name) <= 40 else "…" + name[-39:])}</code>'
