"""Runs and files as MLflow's own client sees them."""

from __future__ import annotations


def runs_of(client, name, kind=None):
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return [run for run in runs if kind in (None, run.data.tags.get("foveal.kind"))]


def artifact(client, run_id, path, tmp_path):
    with open(client.download_artifacts(run_id, path, str(tmp_path)), "rb") as file:
        return file.read()
