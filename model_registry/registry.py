"""Versions of a model and their aliases: the champion, the challenger, the previous champion."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.backends import weight_files
from components.contracts import DatasetVersion, Decided, DriftReport, ModelVersion
from components.errors import ConfigError, NoChampionError, NotRegisteredError, RegistryError
from components.files import replacing
from components.regular import read_regular_text
from model_registry import drift
from model_registry.artifacts.bundles import fetch_bundle, require_same, stored_file, verify_files
from model_registry.comparison import Comparison, compare, comparison_url
from model_registry.decisions import aliases
from model_registry.decisions import decide as deciding
from model_registry.decisions.aliases import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION
from model_registry.decisions.history import ChampionPeriod, History, Rationale, bound_hashes
from model_registry.decisions.record import Record
from model_registry.decisions.status import ModelSummary, registered_names, summarise_model
from model_registry.description import Release, check_files, check_name, version_tags
from model_registry.facts import facts_of, hashes_of
from model_registry.failures import mlflow_errors
from model_registry.release import datasets, runs
from model_registry.release.log import find_release, log_release
from model_registry.store import open_store, taking_turns

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as Row


class Registry:
    """Registered models in MLflow, embedded or on a server; MLflow's global state is never touched.

    Arguments:
        tracking_uri: ``sqlite:////absolute/mlflow.db`` (made when missing) or ``http://host:port``.
        artifact_root: folder or URI for artifacts; the default is ``artifacts`` beside the SQLite
            file, or whatever the server uses.
        seen: folder of this machine that keeps the newest decision seen of each model, so that one
            that is deleted or changed afterwards is missed whatever the store says; None keeps
            none.

    Raises:
        ConfigError: MLflow cannot use the URI.
        RegistryError: the database or the server cannot be opened.
    """

    def __init__(
        self, tracking_uri: str, artifact_root: str | Path | None = None, seen: Path | None = None
    ) -> None:
        self._store = open_store(tracking_uri, artifact_root)
        self._seen = seen

    @property
    def tracking_uri(self) -> str:
        """Address that `mlflow.set_tracking_uri` takes to see the same models."""
        return self._store.tracking_uri

    def log_release(self, release: Release) -> ModelVersion:
        """Log a release with all of its parts; register it as one new version, alias `challenger`.

        A release that was registered before is returned, not repeated. The version is registered
        last: what fails before leaves runs marked FAILED and no version.

        Raises:
            ConfigError: a tag is one that Foveal sets itself.
            BudgetError: the benchmark chose no variant.
            BundleError: the bundle is not the one that was packed.
            RegistryError: the reference is missing, or MLflow failed.
        """
        check_files(release)
        tags = version_tags(release)
        with mlflow_errors("to log a release"):
            with taking_turns(self._store, f"{release.name}.release"):
                number = find_release(self._store, release) or log_release(
                    self._store, release, tags
                )
            version = self.get(release.name, number)
            run_name = f"v{version.version} · {release.chosen.variant}"
            self._store.client.update_run(version.run_id, name=run_name)
            newest = version.version == self.versions(release.name)[-1].version
            decided = self.history(release.name).last_about(version.version)
            if newest and not version.aliases and not decided:
                return self.set_alias(release.name, CHALLENGER, version.version)
            return version

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """All versions of a model, oldest first; none for a name that is not registered."""
        self.history(name)
        with mlflow_errors("to list versions"):
            named = self._record(name).aliases()
            return tuple(_version(row, named) for row in self._record(name).rows())

    def get(self, name: str, which: str | int) -> ModelVersion:
        """A version by its number or by an alias such as `champion`.

        Raises:
            NotRegisteredError: no version was ever released.
            NoChampionError: there are versions, and none is the champion.
            RegistryError: there is none; says what there is.
        """
        versions = self.versions(name)
        number = int(which) if str(which).isdecimal() else None
        for version in versions:
            if version.version == number or (number is None and which in version.aliases):
                return version
        expected = (
            f"version {which} of {name}"
            if number is not None
            else f"a version of {name} with alias {which}"
        )
        if versions:
            if which == CHAMPION:
                hint = f"promote one first: foveal promote {name}/{versions[-1].version}"
                raise NoChampionError(expected, found=_listing(versions), hint=hint)
            raise RegistryError(expected, found=_listing(versions), hint="choose one of these")
        raise NotRegisteredError(
            expected,
            found=f"no model of that name, only {self._names() or 'none at all'}",
            hint="release it first, or check the name and the tracking URI",
        )

    def model_summaries(self) -> tuple[ModelSummary, ...]:
        """Sum up every registered model; reads only, so that it may be asked every few seconds.

        Raises:
            RegistryError: MLflow failed.
        """
        with mlflow_errors("to list models"):
            return tuple(
                summarise_model(self._record(name)) for name in registered_names(self._store)
            )

    def set_alias(self, name: str, alias: str, version: int) -> ModelVersion:
        """Give an alias to a version; it leaves the version that had it.

        Raises:
            ConfigError: the alias is one that only a decision moves.
            RegistryError: no such version, or MLflow refuses the alias.
        """
        if alias in (CHAMPION, PREVIOUS_CHAMPION):
            raise ConfigError(
                "an alias of your own",
                found=alias,
                hint="promote or roll back, which keeps the record",
            )
        self.get(name, version)
        with mlflow_errors(f"to set alias {alias}"):
            self._record(name).set_alias(alias, version)
        return self.get(name, version)

    def promote(self, name: str, version: int, rationale: Rationale | None = None) -> ModelVersion:
        """Make a version the champion; the one before it becomes `previous_champion`.

        The decision is appended to the record, then the aliases follow; a kill at any moment leaves
        one champion, and whoever opens the model next finishes what is half done. Nothing happens
        if it is the champion already.

        Raises:
            BundleError: its bundle is not the one that was released.
            RegistryError: no such version; no gates that it passed, where nobody decides by hand or
                by the rule for releases; or somebody changed the champion since it was compared
                with, or since this began.
        """
        self.verify(self.get(name, version))
        with mlflow_errors(f"to promote {name}/{version}"):
            deciding.promote(self._record(name), version, rationale or Rationale())
        return self.get(name, version)

    def rollback(
        self, name: str, rationale: Rationale | None = None, to: int | None = None
    ) -> ModelVersion:
        """Make the champion before this one the champion; a second rollback goes back further.

        Arguments:
            name: of the model.
            rationale: why, and by whom.
            to: a version that was in production before, instead of the last one.

        Raises:
            BundleError: the bundle of the version to go back to is not the one that was released.
            RegistryError: no such version, none to go back to, or somebody changed the champion
                meanwhile.
        """
        if to is not None:
            self.get(name, to)
        elif not self.versions(name):
            self.get(name, CHAMPION)  # says what there is instead
        with mlflow_errors(f"to roll {name} back"):
            version, champion = deciding.back(self._record(name), to)
        self.verify(self.get(name, version))
        with mlflow_errors(f"to roll {name} back"):
            deciding.roll_back(self._record(name), rationale or Rationale(), version, champion)
        return self.get(name, CHAMPION)

    def reject(self, name: str, version: int, rationale: Rationale | None = None) -> ModelVersion:
        """Record that a version was not promoted, and why; it is no challenger any more.

        Raises:
            RegistryError: no such version, or it is the champion.
        """
        self.get(name, version)
        with mlflow_errors(f"to reject {name}/{version}"):
            deciding.reject(self._record(name), version, rationale or Rationale())
        return self.get(name, version)

    def history(self, name: str) -> History:
        """The decision record of a model, replayed; empty for one that was never decided on."""
        with mlflow_errors("to read the decision record"):
            return aliases.settle(self._record(check_name(name)))

    def decisions(self, name: str) -> tuple[Decided, ...]:
        """Return a model's decisions, oldest first; a number is missing where another was first."""
        return self.history(name).decisions

    def champion_at(self, name: str, time: datetime) -> ChampionPeriod | None:
        """Return the version in production at a moment, its times and its decisions; None for none.

        Raises:
            ConfigError: the time has no zone.
        """
        if time.tzinfo is None:
            raise ConfigError(
                "a time with its zone", found=str(time), hint="e.g. datetime.now(UTC)"
            )
        return self.history(name).champion_at(time)

    def log_dataset(self, name: str, dataset: DatasetVersion, run_id: str | None = None) -> str:
        """Log a dataset version to a model's experiment, once by its content; return its run's id.

        Arguments:
            name: of the registered model.
            dataset: what was composed.
            run_id: a run that used it, e.g. that of a version; the dataset becomes an input of it
                too.

        Raises:
            DatasetError: the dataset is not there any more.
            RegistryError: MLflow failed.
        """
        with mlflow_errors("to log a dataset"):
            return datasets.log_dataset(self._store, check_name(name), dataset, run_id)

    def log_training(
        self, version: ModelVersion, parameters: Mapping[str, object], curve: Path
    ) -> None:
        """Keep with a version how it was trained; a second time it changes nothing.

        Arguments:
            version: that was trained.
            parameters: of the training, logged as ``training.NAME``.
            curve: CSV with one row an epoch and an ``epoch`` column; each other column is a metric
                ``training/COLUMN``.

        Raises:
            RegistryError: MLflow failed.
        """
        with mlflow_errors("to log a training"):
            runs.log_training(self._store.client, version.run_id, parameters, curve)

    def tags(self, version: ModelVersion) -> dict[str, str]:
        """Return a version's facts by name: hashes, target, variant, precision, backend, more."""
        with mlflow_errors("to read a version"):
            row = self._store.client.get_model_version(version.name, str(version.version))
            return facts_of(self._store, row)

    def hashes(self, version: ModelVersion) -> dict[str, str]:
        """Map roles to sha256 of a version's files and data; its first decision has priority."""
        return {
            **hashes_of(self.tags(version)),
            **bound_hashes(self.history(version.name), version.version),
        }

    def verify(self, version: ModelVersion) -> None:
        """Make sure that a version's bundle, and what MLflow runs of it, are what was released.

        Raises:
            BundleError: the bundle is another one, or damaged.
            RegistryError: the files that MLflow runs are others, or it has no bundle.
        """
        verify_files(self._store, version, self.hashes(version))

    def metrics(self, version: ModelVersion) -> dict[str, float]:
        """The chosen variant's metrics by name, as measured when the version was released."""
        with mlflow_errors("to read a run"):
            return dict(self._store.client.get_run(version.run_id).data.metrics)

    def compare(self, name: str, first: str | int, second: str | int) -> Comparison:
        """Two versions, by number or alias, side by side, and the decision between them.

        Raises:
            RegistryError: no such version.
        """
        one, two = self.get(name, first), self.get(name, second)
        with mlflow_errors("to compare two versions"):
            return compare(self._store, self._record(name).read(), one, two)

    def page(self, version: ModelVersion) -> str:
        """Return the address part after MLflow's that shows a version's run, ``#/experiments/…``.

        Raises:
            RegistryError: the version's run is gone, or MLflow failed.
        """
        with mlflow_errors("to look a run up"):
            experiment = self._store.client.get_run(version.run_id).info.experiment_id
        return f"#/experiments/{experiment}/runs/{version.run_id}?workflowType=machine_learning"

    def comparison_url(self, name: str, first: str | int, second: str | int, ui: str = "") -> str:
        """Return the address at which MLflow's UI shows two versions side by side.

        `ui` is the address of the UI, such as one over an embedded store (`mlflow ui
        --backend-store-uri …`), or where browsers find a server that has another name for them; a
        server's own unless it is given.

        Raises:
            RegistryError: no such version.
        """
        return comparison_url(self._store, self.get(name, first), self.get(name, second), ui)

    def download_bundle(self, version: ModelVersion, output: Path) -> Path:
        """Unpack a copy of a version's bundle to the folder `output`.

        Raises:
            ConfigError: `output` holds something other than a bundle.
            BundleError: the stored bundle is damaged.
            RegistryError: the version has none.
        """
        return fetch_bundle(self._store, version, self.hashes(version).get("bundle"), output)

    def download_reference(self, version: ModelVersion, output: Path) -> Path | None:
        """Copy a version's drift reference into the folder `output`; None if released without one.

        Raises:
            RegistryError: it is not the file that was registered.
        """
        with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
            stored = stored_file(
                self._store, version, runs.REFERENCE_FOLDER, ".parquet", Path(scratch)
            )
            if stored is None:
                return None
            require_same(stored, self.hashes(version).get("reference"), version)
            with replacing(output / "reference.parquet") as aside:
                shutil.copyfile(stored, aside)
        return output / "reference.parquet"

    def download_source(self, version: ModelVersion, output: Path) -> Path | None:
        """Copy the model file a version was made from into the folder `output`; None if not kept.

        Files that hold its weights come with it. What loads it may unpickle it, on the word that
        was given for the file of the release: no other file is given.

        Raises:
            RegistryError: it is not the file that was registered, or its hash was not kept.
        """
        with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
            stored = self._download_source(version, Path(scratch))
            if stored is None:
                return None
            require_same(stored, self.hashes(version).get("source"), version)
            folder = stored.parent.resolve()
            for file in (*weight_files(stored), stored.resolve()):
                with replacing(output / file.relative_to(folder)) as aside:
                    shutil.copyfile(file, aside)
        return output / stored.name

    def _download_source(self, version: ModelVersion, scratch: Path) -> Path | None:
        """Find the kept model file: the only one, or the ONNX file that refers to the others."""
        with mlflow_errors("to download an artifact"):
            if not self._store.client.list_artifacts(version.run_id, runs.SOURCE_FOLDER):
                return None
            folder = Path(
                self._store.client.download_artifacts(
                    version.run_id, runs.SOURCE_FOLDER, str(scratch)
                )
            )
        files = sorted(path for path in folder.iterdir() if path.is_file())
        return next((path for path in files if weight_files(path)), files[0] if files else None)

    def parameters(self, version: ModelVersion) -> dict[str, Any]:
        """Return how a version was made: the parameters of its release, as they were given.

        Raises:
            RegistryError: they were not kept.
        """
        with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
            stored = stored_file(self._store, version, "", runs.PARAMETERS, Path(scratch))
            if stored is None:
                raise RegistryError(
                    "a version that Foveal released",
                    found=f"{version.name}/{version.version} without {runs.PARAMETERS}",
                    hint="release the model again",
                )
            try:
                found: dict[str, Any] = json.loads(read_regular_text(stored))
            except (OSError, ValueError) as error:
                raise RegistryError(
                    f"{runs.PARAMETERS} of {version.name}/{version.version} as Foveal wrote it",
                    found=f"a file that was changed or damaged: {' '.join(str(error).split())}",
                    hint="release the model again",
                ) from error
            return found

    def log_drift(self, version: ModelVersion, report: DriftReport, window: str) -> str:
        """Keep a drift report with the version that it judges; a window is kept once, by its name.

        Returns:
            What follows the address of MLflow's pages where they show the report,
            ``#/experiments/…``.

        Raises:
            RegistryError: the version's run is gone, or MLflow failed.
        """
        with mlflow_errors("to log a drift report"):
            return drift.log_drift(self._store, version, report, window)

    def _record(self, name: str) -> Record:
        return Record(self._store, name, self._seen)

    def _names(self) -> str:
        with mlflow_errors("to list models"):
            return ", ".join(registered_names(self._store))


def _version(row: Row, aliases: Mapping[str, int]) -> ModelVersion:
    number = int(row.version)
    mine = tuple(sorted(alias for alias, version in aliases.items() if version == number))
    return ModelVersion(row.name, number, row.run_id or "", mine)


def _listing(versions: tuple[ModelVersion, ...]) -> str:
    return "versions " + ", ".join(
        f"{version.version} ({', '.join(version.aliases)})"
        if version.aliases
        else str(version.version)
        for version in versions
    )
