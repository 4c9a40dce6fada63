"""Screens of registered versions: the list, two side by side, and the decision record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.text import Text

from components.contracts import Decided, Outcome
from components.tables import Table, number
from flows.cli.screens.console import Part
from flows.cli.screens.results import gates
from flows.reporting.evidence import decision_time, decisions_table, outcome
from model_registry import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS_CHAMPION,
    ChampionPeriod,
    Comparison,
    History,
    MetricPair,
    ModelSummary,
    TextPair,
)

_STYLES = {
    Outcome.REJECTED: "yellow",
    Outcome.ROLLED_BACK: "bold red",
    Outcome.WITHDRAWN: "bold red",
}
_ALIASES = (CHAMPION, CHALLENGER, PREVIOUS_CHAMPION)
_HASH_SHOWN = 12


def models(found: Sequence[ModelSummary]) -> Iterator[Part]:
    """Show the registered models with their versions and aliases."""
    if not found:
        yield "no model is registered yet: foveal release CONFIG"
        return
    rows = [(one.name, one.versions, *map(one.aliases.get, _ALIASES)) for one in found]
    yield Table(("model", "versions", *(alias.replace("_", " ") for alias in _ALIASES)), rows)


def comparison(found: Comparison) -> Iterator[Part]:
    """Show two versions side by side: what decided between them, then each as it was released."""
    yield from _decision(found)
    titles = [
        f"{one.name}/{one.version}" + (f" ({', '.join(one.aliases)})" if one.aliases else "")
        for one in (found.first, found.second)
    ]
    yield from _metrics(found, titles)
    yield texts("parameter that differs", titles, found.parameters)
    yield texts("hash that differs", titles, [_shortened(pair) for pair in found.hashes])
    yield f"MLflow: {found.url}"


def _shortened(pair: TextPair) -> TextPair:
    return TextPair(pair.name, *(text and text[:_HASH_SHOWN] for text in (pair.first, pair.second)))


def _decision(found: Comparison) -> Iterator[Part]:
    if found.decided is None or found.decided.decision.gates is None:
        if found.first.version != found.second.version:
            name, first, second = found.first.name, found.first.version, found.second.version
            pair = f"{name}/{first} and {name}/{second}"
            yield f"no decision between {pair} rests on gates; to compare both on the same"
            yield f"images: foveal gates {name} {second} --against {first} --data data.yaml"
        return
    made = found.decided.decision
    what = f"decision {found.decided.number}, {outcome(found.decided)} v{made.version}"
    yield Text(f"what decided, on the same images and in interleaved calls: {what}", "bold")
    yield from gates(found.decided.decision.gates)


def _metrics(found: Comparison, titles: Sequence[str]) -> Iterator[Part]:
    """Show the metrics that compare first, then the others in groups, each under its reason."""
    for reason in sorted({pair.incomparable for pair in found.metrics}):
        count = 3 if reason else 4  # the difference of what does not compare means nothing
        rows = [_metric(pair)[:count] for pair in found.metrics if pair.incomparable == reason]
        own = Text("as each was released", "bold")
        yield Text(f"not comparable: {reason}", "yellow") if reason else own
        yield Table(("metric", *titles, "difference")[:count], rows, kinds="trrr"[:count])


def _metric(pair: MetricPair) -> tuple[object, ...]:
    difference = None if pair.difference is None else f"{pair.difference:+.4f}"
    return pair.metric, number(pair.first, 4), number(pair.second, 4), difference


def texts(name: str, titles: Sequence[str], pairs: Sequence[TextPair]) -> Part:
    """Show parameters or hashes in which two versions differ."""
    if not pairs:
        return Text(f"no {name}", "dim")
    rows = [(pair.name, pair.first or None, pair.second or None) for pair in pairs]
    return Table((name, *titles), rows, kinds="trr")


def champion(name: str, record: History) -> Iterator[Part]:
    """Show the champion after a decision."""
    before = "–" if record.previous is None else f"{name}/{record.previous}"
    yield f"{name}: champion is {name}/{record.champion}, previous champion {before}"
    if last := record.last_change():
        yield Text(f"  {_sentence(last)}", "dim")


def decisions(name: str, rows: Sequence[Decided]) -> Iterator[Part]:
    """Show the record as a table, oldest first, with the reasons beneath each decision."""
    heading, *lines = decisions_table(rows, reasons=False).to_lines()
    indent = " " * (4 + max((len(str(one.number)) for one in rows), default=1))
    yield name
    yield Text(f"  {heading}", "bold")
    for line, one in zip(lines, rows, strict=True):
        yield Text(f"  {line}", _STYLES.get(one.decision.outcome, ""))
        yield from (Text(indent + reason, "dim") for reason in one.decision.reasons)


def period(name: str, moment: datetime, found: ChampionPeriod | None) -> Iterator[Part]:
    """Show which version was in production at a moment."""
    if found is None:
        yield f"{decision_time(moment)} UTC: no version of {name} was in production"
        return
    until = f"until {decision_time(found.until)} UTC" if found.until else "and still is"
    since = f"in production since {decision_time(found.since)} UTC {until}"
    yield f"{decision_time(moment)} UTC: {name}/{found.version}, {since}"
    yield Text(f"  began with {_sentence(found.by)}", "dim")
    if found.ended_by:
        yield Text(f"  ended with {_sentence(found.ended_by)}", "dim")


def _sentence(decided: Decided) -> str:
    decision = decided.decision
    what = (
        f"decision {decided.number}, {outcome(decided)} v{decision.version} by {decision.who} "
        f"({decision.trigger})"
    )
    return f"{what}: {'; '.join(decision.reasons)}" if decision.reasons else what
