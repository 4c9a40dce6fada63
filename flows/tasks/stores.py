"""What the model registry and the monitoring store hold, as tasks: versions, runs, references."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from components.contracts import DriftReport, InferenceRun, LoadedModel, ModelVersion
from components.errors import RegistryError
from components.files import is_whole, sha256_json, sha256_path
from components.monitoring import MonitoringStore
from flows.runtime.settings import Settings
from flows.tasks.steps import step
from model_registry import Registry

_POOLED_S = 24 * 3600  # how long a pooled reference is kept: a look by hand may be at work with it


@step("fetch model", cached=False, retries=5)
def fetch(name: str, version: str, output: Path) -> LoadedModel:
    """Fetch a registered version: copies of its bundle and of its drift reference."""
    store = registry()
    found = store.get(name, version)
    return load_model(store, found, output / "bundle", store.download_reference(found, output))


@step("stored run", cached=False, retries=5)
def stored_run(version: ModelVersion, start: datetime | None, end: datetime | None) -> InferenceRun:
    """Export what a version predicted in a time range from the monitoring store."""
    from components.monitoring.store.stored import stored_run as export

    asked = sha256_json([version.name, version.version, str(start), str(end)])
    output = Settings.from_environment().steps / f"stored-run-{asked[:24]}"
    return export(store(), version.name, version.version, output, start=start, end=end)


@step("pool reference", cached=False, retries=5)
def pool_reference(held_out: Path, version: ModelVersion, window: str = "") -> Path:
    """Pool the held-out reference and the windows accepted since, except the one of that key."""
    from components.monitoring.store.reference import pool_reference as pool
    from components.monitoring.store.stored import accepted_batches, evaluated_windows

    name, number = version.name, version.version
    earlier = [
        past
        for past in evaluated_windows(store(), name, number)
        if past.accepted and past.key != window
    ]
    if not earlier:
        return held_out
    made_of = sha256_json([sha256_path(held_out), [past.key for past in earlier]])
    steps, prefix = Settings.from_environment().steps, f"pooled-reference-{name}-{number}-"
    pooled = steps / f"{prefix}{made_of[:24]}.parquet"
    if not is_whole(pooled):
        pool(held_out, accepted_batches(store(), name, number, earlier), pooled)
        outdated = time.time() - _POOLED_S
        for other in steps.glob(f"{prefix}*.parquet"):
            if other.stat().st_mtime < outdated:
                other.unlink(missing_ok=True)
    return pooled


@step("log drift", cached=False, retries=5)
def log_drift(version: ModelVersion, report: DriftReport, window: str) -> str:
    """Log decision and report with the version; give its MLflow page (`Registry.log_drift`)."""
    return registry().log_drift(version, report, window)


def load_model(
    store: Registry, version: ModelVersion, bundle: Path, reference: Path | None
) -> LoadedModel:
    """Copy a version's bundle to the folder `bundle`; join it with the reference, if any."""
    from components.package import read_manifest

    folder = store.download_bundle(version, bundle)
    return LoadedModel(version, folder, reference, read_manifest(folder).model.spec)


def registry() -> Registry:
    """The model registry that the environment names."""
    return Settings.from_environment().registry()


def store() -> MonitoringStore:
    """The monitoring store that the environment names."""
    return MonitoringStore(Settings.from_environment().store)


def require_reference(reference: Path | None, version: ModelVersion) -> Path:
    """The reference, or the reason why drift cannot be measured.

    Raises:
        RegistryError: the version was logged without one.
    """
    if reference is None:
        raise RegistryError(
            f"a drift reference with {version.name}/{version.version}",
            found="none",
            hint="release the model again",
        )
    return reference
