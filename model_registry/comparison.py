"""Two versions side by side: what they measured, and what differs in how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from components.contracts import ModelVersion
from model_registry.store import Store

UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens
_HASH = "_sha256"


@dataclass(frozen=True)
class MetricPair:
    """One metric of two versions; None where a version lacks it."""

    metric: str
    first: float | None
    second: float | None

    @property
    def difference(self) -> float | None:
        """Second − first, where both have it."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class TextPair:
    """A parameter or a hash in which two versions differ; None where a version lacks it."""

    name: str
    first: str | None
    second: str | None


@dataclass(frozen=True)
class Comparison:
    """Two versions of a model.

    Arguments:
        first: the one that differences count from.
        second: the other.
        metrics: all of both, by name. Each version was measured in its own run: latencies compare only when both ran
            on the same idle machine.
        parameters: those that differ.
        hashes: role of the data or of the file → sha256, those that differ.
        url: where MLflow's UI shows the same two versions.
    """

    first: ModelVersion
    second: ModelVersion
    metrics: tuple[MetricPair, ...]
    parameters: tuple[TextPair, ...]
    hashes: tuple[TextPair, ...]
    url: str


def compare(store: Store, first: ModelVersion, second: ModelVersion) -> Comparison:
    """Read both versions' runs and tags from MLflow; one that was registered without a run has only tags."""
    data = [store.client.get_run(version.run_id).data if version.run_id else None for version in (first, second)]
    one, two = (dict(side.metrics) if side else {} for side in data)
    return Comparison(
        first,
        second,
        tuple(MetricPair(metric, one.get(metric), two.get(metric)) for metric in sorted(one.keys() | two.keys())),
        _differing(*(side.params if side else {} for side in data)),
        _differing(*(_hashes(store, version) for version in (first, second))),
        comparison_url(store, first, second, UI),
    )


def comparison_url(store: Store, first: ModelVersion, second: ModelVersion, ui: str) -> str:
    """Where MLflow's UI shows two versions side by side; `ui` is its address over an embedded store."""
    base = store.tracking_uri if store.remote else ui
    runs_by_version = {str(version.version): version.run_id for version in (first, second)}
    query = f"name={_query(first.name)}&runs={_query(runs_by_version)}&workflowType=machine_learning"
    return f"{base.rstrip('/')}/#/compare-model-versions?{query}"


def _hashes(store: Store, version: ModelVersion) -> dict[str, str]:
    tags = store.client.get_model_version(version.name, str(version.version)).tags
    return {key.removesuffix(_HASH): value for key, value in tags.items() if key.endswith(_HASH)}


def _differing(one: Mapping[str, str], two: Mapping[str, str]) -> tuple[TextPair, ...]:
    names = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    return tuple(TextPair(name, one.get(name), two.get(name)) for name in names)


def _query(value: Any) -> str:
    return quote(json.dumps(value, separators=(",", ":")), safe="")
