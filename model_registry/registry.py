"""Versions of a model and their aliases: what is the champion, what challenges it, what it was before."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from components.contracts import DriftReport, ModelVersion
from components.errors import RegistryError
from components.files import replacing
from model_registry import drift, runs
from model_registry.bundles import unpack
from model_registry.model_card import description, model_card
from model_registry.pyfunc import save_pyfunc
from model_registry.release import Release, check_files, check_name, run_tags, version_tags
from model_registry.store import mlflow_errors, open_store

CHAMPION, CHALLENGER, PREVIOUS_CHAMPION = "champion", "challenger", "previous_champion"
_NOTE_LENGTH = 8000  # characters of a run's tag


@dataclass(frozen=True)
class MetricPair:
    """One metric of two versions; None where a version lacks it."""

    metric: str
    first: float | None
    second: float | None


class Registry:
    """Registered models in MLflow, embedded or on a server; MLflow's global state is never touched.

    Arguments:
        tracking_uri: ``sqlite:////absolute/mlflow.db`` (made when missing) or ``http://host:port``.
        artifact_root: folder or URI for artifacts; the default is ``artifacts`` beside the SQLite file, or
            whatever the server uses.

    Raises:
        ConfigError: MLflow cannot use the URI.
        RegistryError: the database or the server cannot be opened.
    """

    def __init__(self, tracking_uri: str, artifact_root: str | Path | None = None) -> None:
        self._store = open_store(tracking_uri, artifact_root)

    @property
    def tracking_uri(self) -> str:
        """What `mlflow.set_tracking_uri` takes to see the same models."""
        return self._store.tracking_uri

    def log_release(self, release: Release) -> ModelVersion:
        """Log a release with all that belongs to it, register it as one new version, alias `challenger`.

        A release that was registered before is returned, not repeated. The version is registered last:
        what fails before leaves runs marked FAILED and no version.

        Raises:
            ConfigError: a tag is one that Foveal sets itself.
            BudgetError: the benchmark chose no variant.
            BundleError: the bundle is not the one that was packed.
            RegistryError: the reference is missing, or MLflow failed.
        """
        tags = version_tags(release)
        check_files(release)
        with mlflow_errors("to log a release"):
            version = self._find(release) or self._log(release, tags)
            run_name = f"v{version.version} · {release.chosen.variant}"
            self._store.client.update_run(version.run_id, name=run_name)
            newest = version.version == self.versions(release.name)[-1].version
            if newest and not version.aliases:
                return self.set_alias(release.name, CHALLENGER, version.version)
            return version

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """All versions of a model, oldest first; none for a name that is not registered."""
        with mlflow_errors("to list versions"):
            found = self._search(f"name = '{check_name(name)}'")
            aliases = self._aliases(name) if found else {}
            return tuple(sorted((_version(row, aliases) for row in found), key=lambda version: version.version))

    def get(self, name: str, which: str | int) -> ModelVersion:
        """A version by its number or by an alias such as `champion`.

        Raises:
            RegistryError: there is none; says what there is.
        """
        versions = self.versions(name)
        number = int(which) if str(which).isdecimal() else None
        for version in versions:
            if version.version == number or (number is None and which in version.aliases):
                return version
        raise RegistryError(
            f"version {which} of {name}" if number is not None else f"a version of {name} with alias {which}",
            found=_listing(versions) if versions else f"no model of that name, only {self._names() or 'none at all'}",
            mend="choose one of these" if versions else "release it first, or check the name and the tracking URI",
        )

    def set_alias(self, name: str, alias: str, version: int) -> ModelVersion:
        """Give an alias to a version; it leaves the version that had it.

        Raises:
            RegistryError: no such version, or MLflow refuses the alias.
        """
        self.get(name, version)
        with mlflow_errors(f"to set alias {alias}"):
            self._store.client.set_registered_model_alias(name, alias, str(version))
        return self.get(name, version)

    def promote(self, name: str, version: int) -> ModelVersion:
        """Make a version the champion; the one before it becomes `previous_champion`.

        Raises:
            RegistryError: no such version.
        """
        chosen = self.get(name, version)
        if CHAMPION not in chosen.aliases:
            for other in self.versions(name):
                if CHAMPION in other.aliases:
                    self.set_alias(name, PREVIOUS_CHAMPION, other.version)
            self.set_alias(name, CHAMPION, version)
        if CHALLENGER in chosen.aliases:
            with mlflow_errors("to remove an alias"):
                self._store.client.delete_registered_model_alias(name, CHALLENGER)
        return self.get(name, version)

    def rollback(self, name: str) -> ModelVersion:
        """Make the previous champion the champion again, and the other way round.

        Raises:
            RegistryError: there is no previous champion.
        """
        return self.promote(name, self.get(name, PREVIOUS_CHAMPION).version)

    def tags(self, version: ModelVersion) -> dict[str, str]:
        """What is known of a version by name: hashes, target, variant, precision, backend and more."""
        with mlflow_errors("to read a version"):
            return dict(self._store.client.get_model_version(version.name, str(version.version)).tags)

    def metrics(self, version: ModelVersion) -> dict[str, float]:
        """The chosen variant's metrics by name, as measured when the version was released."""
        with mlflow_errors("to read a run"):
            return dict(self._store.client.get_run(version.run_id).data.metrics)

    def compare(self, name: str, first: int, second: int) -> tuple[MetricPair, ...]:
        """The metrics of two versions side by side, by name.

        Each was measured in its own run: latencies compare only when both ran on the same idle machine.

        Raises:
            RegistryError: no such version.
        """
        one, two = (self.metrics(self.get(name, number)) for number in (first, second))
        return tuple(MetricPair(metric, one.get(metric), two.get(metric)) for metric in sorted(one.keys() | two.keys()))

    def comparison_url(self, name: str, first: int, second: int, ui: str = "http://127.0.0.1:5000") -> str:
        """Where MLflow's UI shows two versions side by side.

        `ui` is the address of the UI over an embedded store (`mlflow ui --backend-store-uri …`); a server has its own.

        Raises:
            RegistryError: no such version.
        """
        base = self._store.tracking_uri if self._store.remote else ui
        runs_by_version = {str(number): self.get(name, number).run_id for number in (first, second)}
        query = f"name={_query(name)}&runs={_query(runs_by_version)}&workflowType=machine_learning"
        return f"{base.rstrip('/')}/#/compare-model-versions?{query}"

    def download_bundle(self, version: ModelVersion, output: Path) -> Path:
        """Unpack a copy of a version's bundle to the folder `output`.

        Raises:
            ConfigError: `output` holds something other than a bundle.
            BundleError: the stored bundle is damaged.
            RegistryError: the version has none.
        """
        expected = self.tags(version).get("bundle_sha256", "")
        with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
            archive = self._download(version, runs.BUNDLE_FOLDER, ".zip", Path(scratch))
            if archive is None:
                raise RegistryError(
                    "a version that Foveal released",
                    found=f"{version.name}/{version.version} without a bundle",
                    mend="choose another version",
                )
            return unpack(archive, expected, output)

    def download_reference(self, version: ModelVersion, output: Path) -> Path | None:
        """Copy a version's drift reference into the folder `output`; None when it was released without one."""
        with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
            stored = self._download(version, runs.REFERENCE_FOLDER, ".parquet", Path(scratch))
            if stored is None:
                return None
            with replacing(output / "reference.parquet") as aside:
                shutil.copyfile(stored, aside)
        return output / "reference.parquet"

    def download_source(self, version: ModelVersion, output: Path) -> Path | None:
        """Copy the model file that a version was made from into the folder `output`; None when it was not kept."""
        with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
            stored = self._download(version, runs.SOURCE_FOLDER, "", Path(scratch))
            if stored is None:
                return None
            with replacing(output / stored.name) as aside:
                shutil.copyfile(stored, aside)
        return output / stored.name

    def parameters(self, version: ModelVersion) -> dict[str, Any]:
        """How a version was made: the parameters of its release, as they were given.

        Raises:
            RegistryError: they were not kept.
        """
        with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
            stored = self._download(version, "", runs.PARAMETERS, Path(scratch))
            if stored is None:
                raise RegistryError(
                    "a version that Foveal released",
                    found=f"{version.name}/{version.version} without {runs.PARAMETERS}",
                    mend="release the model again",
                )
            found: dict[str, Any] = json.loads(stored.read_text(encoding="utf-8"))
            return found

    def log_drift(self, version: ModelVersion, report: DriftReport, window: str) -> None:
        """Keep a drift report with the version that it judges; a window is kept once, by its name.

        Raises:
            RegistryError: the version's run is gone, or MLflow failed.
        """
        with mlflow_errors("to log a drift report"):
            drift.log_drift(self._store, version, report, window)

    def _log(self, release: Release, tags: dict[str, str]) -> ModelVersion:
        store, card = self._store, release.description or model_card(release)
        experiment = runs.experiment_of(store, release.name)
        runs.fail_abandoned(store, experiment, release.key)
        own = {**run_tags(release), "foveal.kind": "release", "mlflow.note.content": card[:_NOTE_LENGTH]}
        with runs.open_run(store, experiment, f"release · {release.chosen.variant}", own) as run_id:
            with runs.open_model(store, experiment, release, run_id) as model:
                runs.log_run(store, run_id, release, card, model.model_id)
                runs.log_variants(store, experiment, run_id, release)
                with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
                    saved = save_pyfunc(release, Path(scratch) / "model", model, run_id)
                    store.client.log_model_artifacts(model.model_id, str(saved))
            return self._register(release, tags, card, run_id, model)

    def _register(self, release: Release, tags: dict[str, str], card: str, run_id: str, model: Any) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        client = self._store.client
        try:
            client.create_registered_model(release.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # `models:/ID` would be resolved by MLflow's global tracking URI in this process; a server resolves its own.
        source = f"models:/{model.model_id}" if self._store.remote else model.artifact_location
        row = client.create_model_version(
            release.name,
            source,
            run_id=run_id,
            tags=tags,
            description=description(card),
            model_id=model.model_id,
        )
        return _version(row, {})

    def _find(self, release: Release) -> ModelVersion | None:
        found = self._search(f"name = '{release.name}' and tags.release_key = '{release.key}'")
        return self.get(release.name, int(found[0].version)) if found else None

    def _search(self, query: str) -> list[Any]:
        rows, token = [], None
        while True:
            page = self._store.client.search_model_versions(query, page_token=token)
            rows += page
            token = page.token
            if not token:
                return rows

    def _aliases(self, name: str) -> dict[str, str]:
        return dict(self._store.client.get_registered_model(name).aliases)

    def _names(self) -> str:
        with mlflow_errors("to list models"):
            return ", ".join(sorted(model.name for model in self._store.client.search_registered_models()))

    def _download(self, version: ModelVersion, folder: str, suffix: str, scratch: Path) -> Path | None:
        with mlflow_errors("to download an artifact"):
            files = self._store.client.list_artifacts(version.run_id, folder)
            stored = next((file.path for file in files if file.path.endswith(suffix)), None)
            if stored is None:
                return None
            return Path(self._store.client.download_artifacts(version.run_id, stored, str(scratch)))


def _version(row: Any, aliases: dict[str, str]) -> ModelVersion:
    number = str(row.version)
    mine = tuple(sorted(alias for alias, version in aliases.items() if str(version) == number))
    return ModelVersion(row.name, int(row.version), row.run_id or "", mine)


def _listing(versions: tuple[ModelVersion, ...]) -> str:
    return "versions " + ", ".join(
        f"{version.version} ({', '.join(version.aliases)})" if version.aliases else str(version.version)
        for version in versions
    )


def _query(value: Any) -> str:
    return quote(json.dumps(value, separators=(",", ":")), safe="")
