"""What `foveal compare` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from components.contracts import ModelVersion
from flows.formats import number
from model_registry import Comparison, TextPair

_out = Console()
_err = Console(stderr=True)
_HASH_SHOWN = 12


def comparison(found: Comparison) -> None:
    """Two versions side by side."""
    titles = [f"{v.name}/{v.version}" + (f" ({', '.join(v.aliases)})" if v.aliases else "") for v in _both(found)]
    metrics = _table("metric", titles, "difference")
    for pair in found.metrics:
        difference = "–" if pair.difference is None else f"{pair.difference:+.4f}"
        metrics.add_row(pair.metric, number(pair.first, 4), number(pair.second, 4), difference)
    _out.print(metrics)
    _texts("parameter that differs", titles, found.parameters)
    _texts("hash that differs", titles, [_short(pair) for pair in found.hashes])
    _out.print(f"MLflow: {found.url}", highlight=False, soft_wrap=True)


def serving(address: str) -> None:
    """MLflow's UI is up for as long as somebody looks."""
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
    _out.print(table)


def _table(name: str, titles: Sequence[str], *more: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(name)
    for heading in (*titles, *more):
        table.add_column(heading, justify="right")
    return table


def _short(pair: TextPair) -> TextPair:
    return TextPair(pair.name, *(value and value[:_HASH_SHOWN] for value in (pair.first, pair.second)))
