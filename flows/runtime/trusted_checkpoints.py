"""Checkpoints trusted on this storage root: MLflow's word is not enough to unpickle one here."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from components.errors import ConfigError
from components.files import flush, flush_folder, sha256_file
from flows.runtime.settings import Settings


def remember(checkpoint: Path) -> None:
    """Note that a file may be unpickled here: its releaser said so, or it was trained here."""
    folder = _ledger()
    (folder / sha256_file(checkpoint)).touch()
    flush_folder(folder)


def require_trusted(checkpoint: Path, label: str, *, asked: bool) -> None:
    """Make sure that a checkpoint that MLflow gave back is one that somebody trusted here.

    Arguments:
        checkpoint: the file, before anything is loaded from it.
        label: the version that it belongs to.
        asked: somebody says so now; it is remembered.

    Raises:
        ConfigError: nobody did.
    """
    if asked:
        remember(checkpoint)
    digest = sha256_file(checkpoint)
    if not (_ledger() / digest).exists():
        raise ConfigError(
            "a checkpoint that was released from, or trained on, this storage root, as loading it "
            "can run any code",
            found=f"{checkpoint.name} of {label}, sha256 {digest}, of which only MLflow says that "
            "it is trusted",
            hint="foveal retrain --trust-pickle, once, if you trust who could write to MLflow, or "
            "release it here",
        )


def _ledger() -> Path:
    """The folder of one empty file for each trusted hash.

    On a root that an older Foveal made, the checkpoints of its own database are taken as they are
    found.
    """
    settings = Settings.from_environment()
    folder = settings.root / "trusted"
    if not folder.exists():
        known = _released(settings)
        settings.make_root()
        with tempfile.TemporaryDirectory(dir=settings.root, prefix=".trusted-") as scratch:
            aside = Path(scratch) / folder.name
            aside.mkdir(mode=0o700)
            for digest in known:
                (aside / digest).touch()
            flush(aside)
            with suppress(OSError):  # another process has made it meanwhile
                aside.rename(folder)
        flush_folder(settings.root)
    return folder


def _released(settings: Settings) -> set[str]:
    if not settings.embedded_tracking or not settings.registry_database.exists():
        return set()
    registry = settings.registry()
    versions = [
        version
        for standing in registry.model_summaries()
        for version in registry.versions(standing.name)
    ]
    return {digest for version in versions if (digest := registry.hashes(version).get("source"))}
