"""Two versions side by side: what decided, what each measured by itself, how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from components.contracts import Decided, ModelVersion
from model_registry.decisions import runs as decision_runs
from model_registry.decisions.history import History
from model_registry.description import OWN_BASELINE_METRICS, SESSION_METRICS, validation_role
from model_registry.facts import facts_of, hashes_of
from model_registry.release.runs import TRAINING
from model_registry.store import Store

UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens
_ELSEWHERE = ("gate.", TRAINING)  # metrics that belong to a decision, or to a training
_HASH_SHOWN = 12


@dataclass(frozen=True)
class MetricPair:
    """One metric of two versions, each measured at its own release; None where a version lacks it.

    Arguments:
        metric: its name.
        first: of the first version.
        second: of the second.
        incomparable: why the two numbers do not compare; empty where they do.
    """

    metric: str
    first: float | None
    second: float | None
    incomparable: str = ""

    @property
    def difference(self) -> float | None:
        """Second − first, where both have it and the two compare."""
        return (
            None
            if self.first is None or self.second is None or self.incomparable
            else self.second - self.first
        )


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
        decided: the newest decision that rests on gates between these two, whichever was the
            champion; None for none.
        metrics: all of both, by name, as each version was released: in a run, a session and on
            images of its own.
        parameters: those that differ.
        hashes: role of the data or of the file → sha256, those that differ.
        url: where MLflow's UI shows the same two versions.
    """

    first: ModelVersion
    second: ModelVersion
    decided: Decided | None
    metrics: tuple[MetricPair, ...]
    parameters: tuple[TextPair, ...]
    hashes: tuple[TextPair, ...]
    url: str


@dataclass(frozen=True)
class _Side:
    """Facts of one version."""

    run_id: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    hashes: Mapping[str, str]


def compare(
    store: Store, history: History, first: ModelVersion, second: ModelVersion
) -> Comparison:
    """Read both versions' runs and tags from MLflow; one registered without a run has only tags."""
    one, two = _side(store, first), _side(store, second)
    names = sorted(
        name for name in one.metrics.keys() | two.metrics.keys() if not name.startswith(_ELSEWHERE)
    )
    return Comparison(
        first,
        second,
        _decided(store, history, {first.version, second.version}),
        tuple(
            MetricPair(k, one.metrics.get(k), two.metrics.get(k), _incomparable(k, one, two))
            for k in names
        ),
        _differing(one.params, two.params),
        _differing(one.hashes, two.hashes),
        comparison_url(store, first, second),
    )


def _side(store: Store, version: ModelVersion) -> _Side:
    data = store.client.get_run(version.run_id).data if version.run_id else None
    row = store.client.get_model_version(version.name, str(version.version))
    hashes = hashes_of(facts_of(store, row))
    return _Side(version.run_id, data.metrics if data else {}, data.params if data else {}, hashes)


def _incomparable(metric: str, one: _Side, two: _Side) -> str:
    """Why a metric of two releases does not compare; empty where it does."""
    if one.run_id == two.run_id or metric == "size_mb":
        return ""
    if metric in OWN_BASELINE_METRICS:
        return "each against its own baseline"
    if metric in SESSION_METRICS:
        return "measured in two sessions, at two moments of a machine"
    images = [side.hashes.get(validation_role(side.params, side.hashes)) for side in (one, two)]
    if images[0] is None or images[1] is None:
        return "it is not known which validation images were used"
    if images[0] != images[1]:
        shown = " and ".join(str(digest)[:_HASH_SHOWN] for digest in images)
        return f"measured on other validation images, sha256 {shown}"
    return ""


def _decided(store: Store, history: History, pair: set[int]) -> Decided | None:
    """The newest decision that rests on gates between two versions, with its gates."""
    for entry in reversed(history.entries):
        if entry.decision.version not in pair or len(pair) < 2:
            continue
        decision = decision_runs.with_gates(store, entry)
        if decision_runs.compared_with(decision) in pair - {decision.version}:
            return Decided(entry.number, entry.at, decision)
    return None


def comparison_url(store: Store, first: ModelVersion, second: ModelVersion, ui: str = "") -> str:
    """Give MLflow's page of two versions side by side; `ui` is its address, else the server's."""
    base = ui or (store.tracking_uri if store.remote else UI)
    runs_by_version = {str(version.version): version.run_id for version in (first, second)}
    query = (
        f"name={_query(first.name)}&runs={_query(runs_by_version)}&workflowType=machine_learning"
    )
    return f"{base.rstrip('/')}/#/compare-model-versions?{query}"


def _differing(one: Mapping[str, str], two: Mapping[str, str]) -> tuple[TextPair, ...]:
    names = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    return tuple(TextPair(name, one.get(name), two.get(name)) for name in names)


def _query(value: object) -> str:
    return quote(json.dumps(value, separators=(",", ":")), safe="")
