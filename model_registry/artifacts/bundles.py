"""Files of a version, back from the store: nothing is taken that is not what was registered."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from components.backends import sha256_model
from components.contracts import ModelVersion
from components.errors import BundleError, RegistryError
from components.files import sha256_file, sha256_tree
from components.package import require_whole
from components.package.archive import unpack as unpack_zip
from model_registry.failures import mlflow_errors
from model_registry.store import Store

# written beside a model in a local store when it is loaded by its name
_LEFT_BY_MLFLOW = "registered_model_meta"
BUNDLE_FOLDER = "bundle"


def unpack(archive: Path, sha256: str, output: Path) -> Path:
    """Unpack a bundle's zip, if it is the registered one, to a folder that is missing or empty.

    Raises:
        BundleError: its hash is not `sha256`, so nothing of it is read.
        ConfigError: something is at `output`.
    """
    if (found := sha256_file(archive)) != sha256:
        raise BundleError(
            f"the bundle that was registered, sha256 {sha256}",
            found=f"{archive.name} with {found}",
            hint="the store's files were changed: restore them from a backup, or release the model "
            "again",
        )
    return unpack_zip(archive, output)


def stored_file(
    store: Store, version: ModelVersion, folder: str, suffix: str, scratch: Path
) -> Path | None:
    """Fetch a run's file from an artifact folder to a scratch folder; None if it has none."""
    with mlflow_errors("to download an artifact"):
        files = store.client.list_artifacts(version.run_id, folder) if version.run_id else []
        found = next((file.path for file in files if file.path.endswith(suffix)), None)
        return (
            None
            if found is None
            else Path(store.client.download_artifacts(version.run_id, found, str(scratch)))
        )


def fetch_bundle(store: Store, version: ModelVersion, sha256: str | None, output: Path) -> Path:
    """Unpack a version's bundle to the folder `output`, if it is the one that was registered.

    Raises:
        ConfigError: something is at `output`.
        BundleError: the stored bundle is another one, or damaged.
        RegistryError: the version has none.
    """
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        archive = stored_file(store, version, BUNDLE_FOLDER, ".zip", Path(scratch))
        if archive is None:
            raise RegistryError(
                "a version that Foveal released",
                found=f"{version.name}/{version.version} without a bundle",
                hint="choose another version",
            )
        return unpack(archive, sha256 or "", output)


def verify_files(store: Store, version: ModelVersion, hashes: Mapping[str, str]) -> None:
    """Make sure that the future champion is what was released: its bundle and what MLflow runs.

    A version without a run was registered by another program: Foveal has no files of it to look at.

    Arguments:
        store: that has the files.
        version: to be the champion.
        hashes: role → sha256 as they are known.

    Raises:
        BundleError: the bundle is another one, or damaged.
        RegistryError: the files that MLflow runs are others, or it has no bundle.
    """
    if not version.run_id:
        return
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        require_whole(fetch_bundle(store, version, hashes.get("bundle"), Path(scratch) / "bundle"))
        if expected := hashes.get("pyfunc"):
            found = sha256_tree(
                _logged_files(store, version, Path(scratch) / "model"), without=_LEFT_BY_MLFLOW
            )
            if found != expected:
                raise RegistryError(
                    f"the MLflow model that was registered with {version.name}/{version.version}, "
                    f"sha256 {expected}",
                    found=f"files with {found}",
                    hint="the store's files were changed: restore them from a backup, or release "
                    "the model again",
                )


def _logged_files(store: Store, version: ModelVersion, output: Path) -> Path:
    """Return the files of a version's logged model, read-only: a local store may give its own."""
    from mlflow.artifacts import download_artifacts

    output.mkdir(parents=True)
    with mlflow_errors("to download a logged model"):
        made = store.client.get_run(version.run_id).outputs.model_outputs
        uri = store.client.get_logged_model(made[0].model_id).artifact_location
        return Path(
            download_artifacts(
                artifact_uri=uri, dst_path=str(output), tracking_uri=store.tracking_uri
            )
        )


def require_same(file: Path, sha256: str | None, version: ModelVersion) -> None:
    """Make sure that a downloaded file is the one that was registered.

    Arguments:
        file: as it came from the store, with the files that it refers to.
        sha256: what was recorded of it; None when nothing was.
        version: whose file it is.

    Raises:
        RegistryError: the hashes differ, or the version does not say.
    """
    label = f"{version.name}/{version.version}"
    if sha256 is None:
        raise RegistryError(
            f"{label} to say the sha256 of {file.name}",
            found="nothing: an older Foveal registered it",
            hint="run its release again, which adds it",
        )
    if (found := sha256_model(file)) != sha256:
        raise RegistryError(
            f"the {file.name} that was registered with {label}, sha256 {sha256}",
            found=f"{file.name} with {found}",
            hint="the store's files were changed: restore them from a backup, or release the model "
            "again",
        )
