"""Locations of storage and servers, read from the environment in flow bodies and commands only."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import ConfigError
from model_registry import sqlite_uri

if TYPE_CHECKING:
    from model_registry import Registry

DEFAULT_ROOT = Path(".foveal")
_NO_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST}


@dataclass(frozen=True)
class Settings:
    """The places a run reads from and writes to.

    Arguments:
        root: storage root; everything that is kept lies below it.
        tracking_uri: MLflow's tracking and registry store.
        embedded_tracking: MLflow runs in this process over SQLite, no server was named.
    """

    root: Path
    tracking_uri: str
    embedded_tracking: bool

    @classmethod
    def from_environment(cls) -> Settings:
        """Read `FOVEAL_HOME` (by default `./.foveal`) and `MLFLOW_TRACKING_URI`."""
        root = Path(os.environ.get("FOVEAL_HOME") or DEFAULT_ROOT).expanduser().resolve()
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        return cls(
            root, uri or sqlite_uri(root / "mlflow" / "mlflow.db"), embedded_tracking=not uri
        )

    def make_root(self) -> None:
        """Make the storage root if it is not there, for its owner alone."""
        make_private(self.root)

    @property
    def mlflow_page(self) -> str:
        """Named MLflow server's address for browsers: `FOVEAL_MLFLOW_URL`, else this process's."""
        return os.environ.get("FOVEAL_MLFLOW_URL") or self.tracking_uri

    @property
    def artifact_root(self) -> str | None:
        """MLflow's place for artifacts: `FOVEAL_ARTIFACTS`, else below the root, or a server's."""
        embedded = (self.root / "mlflow" / "artifacts").as_uri() if self.embedded_tracking else None
        return os.environ.get("FOVEAL_ARTIFACTS") or embedded

    @property
    def registry_database(self) -> Path:
        """MLflow's database on the embedded default."""
        return self.root / "mlflow" / "mlflow.db"

    def registry(self) -> Registry:
        """Open the model registry that is named here.

        The newest decision of each model is kept in `seen/` of the root, out of reach for writers
        of MLflow.

        Raises:
            RegistryError: it cannot be opened.
        """
        from model_registry import Registry

        return Registry(self.tracking_uri, self.artifact_root, self.root / "seen")

    @property
    def prefect_home(self) -> Path:
        """Prefect's database, results and logs on the embedded default."""
        return self.root / "prefect"

    @property
    def pulse(self) -> Path:
        """The file that the process serving the deployments touches after each look for runs."""
        return self.prefect_home / "serving.alive"

    @property
    def steps(self) -> Path:
        """Results of steps, one folder per content key."""
        return self.root / "steps"

    @property
    def store(self) -> str:
        """The monitoring store: `FOVEAL_STORE`, a folder or a URL, or one below the root."""
        return os.environ.get("FOVEAL_STORE") or str(self.root / "store")

    @property
    def dask(self) -> str:
        """`FOVEAL_DASK`: address of the Dask scheduler for batch inference's shards, or empty."""
        return os.environ.get("FOVEAL_DASK", "")

    @property
    def evidently(self) -> Path:
        """Evidently's workspace, in which drift is seen over time."""
        return self.root / "evidently"

    @property
    def user(self) -> str:
        """Person who decides: `FOVEAL_USER`, or empty for the process's user, as user@host."""
        return os.environ.get("FOVEAL_USER", "")

    @property
    def alert_channels(self) -> tuple[str, ...]:
        """Apprise URLs for alerts, secret, from `FOVEAL_ALERT_URLS`, separated by white space."""
        return tuple(os.environ.get("FOVEAL_ALERT_URLS", "").split())

    @property
    def releases(self) -> Path:
        """Folder of releases for people to open: one folder per model name and version."""
        return self.root / "releases"


def make_private(folder: Path) -> None:
    """Make a folder that nobody else may look into; an existing one keeps its permissions.

    Raises:
        ConfigError: nothing can be written there.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        raise ConfigError(
            "a storage root that can be written",
            found=f"{folder}: {error.strerror}",
            hint="change to a folder of yours, or name one in FOVEAL_HOME",
        ) from error
