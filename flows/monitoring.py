"""Monitoring: the registered model over fresh images, judged against its own reference."""

from __future__ import annotations

import tempfile
from pathlib import Path

from prefect import flow

from flows import publish, tasks
from flows.config import MonitorConfig
from flows.predicting import read_bundle
from flows.settings import Settings
from flows.steps import Images
from flows.summary import MonitorSummary


@flow(name="monitor", flow_run_name="{config.name}", validate_parameters=True)
def monitor(config: MonitorConfig) -> MonitorSummary:
    """Run a registered version over images and say whether they drifted from its reference.

    Arguments:
        config: the registered name, the images, and the version (`champion` unless told otherwise).

    Raises:
        FovealError: no such version, no images, or a version without a reference.
    """
    settings = Settings.from_environment()
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        version, bundle, reference = tasks.fetch(config.name, config.version, Path(scratch))
        if config.images is None:
            run = tasks.stored_run(version, config.since, config.until)
        else:
            served = read_bundle(bundle, f"{version.name}/{version.version}")
            run = tasks.predict(Images(config.images), served)
        held_out = tasks.require_reference(reference, version)
        drift = tasks.report_drift(run, tasks.pool_reference(held_out, version))
    tasks.log_drift(version, drift, drift.html.parent.name)
    publish.drift(drift, version)
    stamp = run.folder.name.rsplit("-", 1)[-1][:8]
    folder = tasks.keep(
        settings.root / "monitoring" / version.name / f"{version.version}-{stamp}",
        {"predictions": run.folder, "drift": drift.html.parent},
    )
    return MonitorSummary.of(version, run, drift, folder=folder)
