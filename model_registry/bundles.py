"""Files of a version, back from the store: nothing is taken that is not what was registered."""

from __future__ import annotations

from pathlib import Path

from components.contracts import ModelVersion
from components.errors import BundleError, ConfigError, RegistryError
from components.files import sha256_file
from components.package.archive import unpack as unpack_zip


def unpack(archive: Path, sha256: str, output: Path) -> Path:
    """Unpack a bundle's zip, if it is the one that was registered, to a folder that is not there or is empty.

    Raises:
        BundleError: its hash is not `sha256`, so nothing of it is read.
        ConfigError: something is at `output`.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError("a new or empty folder", found=f"something at {output}", mend="choose another place")
    if (found := sha256_file(archive)) != sha256:
        raise BundleError(
            f"the bundle that was registered, sha256 {sha256}",
            found=f"{archive.name} with {found}",
            mend="the store's files were changed: restore them from a backup, or release the model again",
        )
    return unpack_zip(archive, output)


def require_same(file: Path, sha256: str | None, version: ModelVersion) -> None:
    """Make sure that a downloaded file is the one that was registered.

    Arguments:
        file: as it came from the store.
        sha256: what the version's tag says; None when there is no tag.
        version: whose file it is.

    Raises:
        RegistryError: the hashes differ, or the version does not say.
    """
    label = f"{version.name}/{version.version}"
    if sha256 is None:
        raise RegistryError(
            f"{label} to say the sha256 of {file.name}",
            found="no such tag: an older Foveal registered it",
            mend="run its release again, which adds the tag",
        )
    if (found := sha256_file(file)) != sha256:
        raise RegistryError(
            f"the {file.name} that was registered with {label}, sha256 {sha256}",
            found=f"{file.name} with {found}",
            mend="the store's files were changed: restore them from a backup, or release the model again",
        )
