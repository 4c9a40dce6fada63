"""Drift windows beside the version that they judge: one run per version, one step per window."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from components.contracts import DriftDecision, DriftReport, DriftState, ModelVersion, dump
from components.files import sha256_json
from model_registry.release import runs
from model_registry.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

# a window with too little data has none
_LEVELS = {DriftState.OK: 0.0, DriftState.WARN: 1.0, DriftState.DRIFT: 2.0}
_COLUMN = re.compile(r"[^\w\-. ]", re.ASCII)


def log_drift(store: Store, version: ModelVersion, report: DriftReport, window: str) -> str:
    """Add a window to the version's drift run, unless one of that name is there; return its page.

    The run's metrics are charts over windows: ``drift_level`` (0 ok, 1 warn, 2 drift),
    ``drifted_columns``, sample counts, and ``distance.COLUMN``; the reports are under
    ``windows/NUMBER``. The page is what follows the address of MLflow's pages where they show the
    report.
    """
    run = _drift_run(store, version)
    key = f"window.{sha256_json(window)[:32]}"
    if key in run.data.tags:
        return _page(run, int(run.data.tags[key]), report)
    client, run_id = store.client, run.info.run_id
    step = 1 + sum(tag.startswith("window.") for tag in run.data.tags)
    for path in (report.html, report.json, report.evidently):
        # Evidently's too: no link leads out of a page in MLflow
        if path:
            client.log_artifact(run_id, str(path), f"windows/{step:04d}")
    client.log_dict(run_id, dump(report.decision), f"windows/{step:04d}/decision.json")
    runs.log_metrics(client, run_id, _metrics(report.decision), runs.MetricContext(step))
    client.set_tag(run_id, "state", report.decision.state.value)
    client.set_tag(run_id, "reasons", "; ".join(report.decision.reasons)[:5000])
    # last: a window that failed half way is logged again under its number
    client.set_tag(run_id, key, str(step))
    return _page(run, step, report)


def _page(run: Run, step: int, report: DriftReport) -> str:
    place = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    return f"#/{place}/artifacts/windows/{step:04d}/{report.html.name}"


def _drift_run(store: Store, version: ModelVersion) -> Run:
    client = store.client
    release = client.get_run(version.run_id)
    mine = f"tags.`mlflow.parentRunId` = '{version.run_id}' and tags.`foveal.kind` = 'drift'"
    if found := client.search_runs([release.info.experiment_id], filter_string=mine):
        return found[0]
    tags = {"foveal.kind": "drift"}
    name = f"v{version.version} · drift"
    with runs.open_run(store, release.info.experiment_id, name, tags, version.run_id) as run_id:
        return client.get_run(run_id)


def _metrics(decision: DriftDecision) -> dict[str, float]:
    metrics = {
        f"distance.{_COLUMN.sub('_', column.column)}": column.distance
        for column in decision.columns
    }
    metrics |= {
        "drifted_columns": float(sum(column.drifted for column in decision.columns)),
        "window_samples": float(decision.window_samples),
        "reference_samples": float(decision.reference_samples),
    }
    if decision.state in _LEVELS:
        metrics["drift_level"] = _LEVELS[decision.state]
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
