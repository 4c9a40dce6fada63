"""A registered bundle, back as a folder."""

from __future__ import annotations

from pathlib import Path

from components.errors import BundleError, ConfigError
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
