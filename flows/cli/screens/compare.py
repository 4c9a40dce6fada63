"""Screen output of `foveal compare`."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from components.contracts import ModelVersion
from flows.cli.screens.console import folding, make_console
from flows.cli.screens.gates import show_gates
from flows.reporting.formats import number
from model_registry import Comparison, TextPair

_out = make_console()
_err = make_console(stderr=True)
_HASH_SHOWN = 12


def comparison(found: Comparison) -> None:
    """Two versions side by side: first what decided between them, then each as it was released."""
    _decision(found)
    titles = [f"{v.name}/{v.version}" + (f" ({', '.join(v.aliases)})" if v.aliases else "") for v in _both(found)]
    _metrics(found, titles)
    _texts("parameter that differs", titles, found.parameters)
    _texts("hash that differs", titles, [_short(pair) for pair in found.hashes])
    _line(f"MLflow: {found.url}")


def _decision(found: Comparison) -> None:
    if found.decided is None or found.decided.decision.gates is None:
        if found.first.version != found.second.version:
            name, first, second = found.first.name, found.first.version, found.second.version
            _line(f"no decision between {name}/{first} and {name}/{second} rests on gates; to compare both on the same")
            _line(f"images: foveal gates {name} {second} --against {first} --data data.yaml")
        return
    made = found.decided.decision
    what = f"{made.outcome.value.replace('_', ' ')} v{made.version}"
    _line(f"what decided, on the same images and in interleaved calls: decision {found.decided.number}, {what}", "bold")
    show_gates(found.decided.decision.gates, _out)


def _metrics(found: Comparison, titles: Sequence[str]) -> None:
    """Print the metrics that compare first, then the others in groups, each under its reason."""
    reasons = sorted({pair.incomparable for pair in found.metrics})
    for reason in reasons:
        what = f"not comparable: {reason}" if reason else "as each was released"
        table = _table("metric", titles, *(() if reason else ("difference",)))
        for pair in found.metrics:
            if pair.incomparable != reason:
                continue
            difference = "–" if pair.difference is None else f"{pair.difference:+.4f}"
            cells = (pair.metric, number(pair.first, 4), number(pair.second, 4), difference)
            table.add_row(*cells[: len(table.columns)])
        _line(what, "yellow" if reason else "bold")
        _out.print(folding(table))


def _line(text: str, style: str | None = None) -> None:
    _out.print(text, highlight=False, soft_wrap=True, markup=False, style=style)


def serving(address: str) -> None:
    """Print where MLflow's UI is served, and how to stop it."""
    _err.print(f"MLflow's UI is at {address}; Ctrl-C stops it", highlight=False, soft_wrap=True)


def _both(found: Comparison) -> tuple[ModelVersion, ...]:
    return found.first, found.second


def _texts(name: str, titles: Sequence[str], pairs: Sequence[TextPair]) -> None:
    if not pairs:
        _out.print(f"no {name}", highlight=False, style="dim")
        return
    table = _table(name, titles)
    for pair in pairs:
        table.add_row(pair.name, pair.first or "–", pair.second or "–")
    _out.print(folding(table))


def _table(name: str, titles: Sequence[str], *more: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(name)
    for heading in (*titles, *more):
        table.add_column(heading, justify="right")
    return table


def _short(pair: TextPair) -> TextPair:
    return TextPair(pair.name, *(value and value[:_HASH_SHOWN] for value in (pair.first, pair.second)))
