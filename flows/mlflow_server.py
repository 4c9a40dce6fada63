"""Becomes `mlflow server`, over a database that the registry has made: MLflow makes one unguarded.

python -m flows.mlflow_server ARGUMENT… with those of ``mlflow server``; the store is that of the environment.
"""

from __future__ import annotations

import os
import sys

from flows.settings import Settings
from model_registry import Registry


def main() -> None:
    """Make the embedded store if it is not there yet, then replace this process."""
    settings = Settings.from_environment()
    if not (settings.root / "mlflow" / "mlflow.db").exists():
        Registry(settings.tracking_uri, settings.artifact_root)
    os.execv(sys.executable, (sys.executable, "-m", "mlflow", "server", *sys.argv[1:]))  # noqa: S606 - our own


if __name__ == "__main__":
    main()
