"""MLflow's server over a store, as an ASGI app, so that ours can stand in front of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components import telemetry

if TYPE_CHECKING:
    from fastapi import FastAPI

_ARTIFACTS = "mlflow-artifacts:/"  # clients of the server send and fetch artifacts through it


def mlflow_app(
    store: str, artifacts: str, *, hosts: Sequence[str], origins: Sequence[str]
) -> FastAPI:
    """Build the app that ``mlflow server`` would run, in this process; once in its life.

    Arguments:
        store: URI of the tracking and registry store.
        artifacts: URI below which the server keeps artifacts.
        hosts: names that MLflow's own check of `Host` lets pass, ``NAME:PORT``.
        origins: origins that its own check lets write.
    """
    telemetry.switch_off()
    os.environ.update(  # read when MLflow's server is imported
        {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it would start a dozen processes more
            "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins),
        }
    )
    from mlflow.server import constants

    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: store,
            constants.REGISTRY_STORE_URI_ENV_VAR: store,
            constants.ARTIFACT_ROOT_ENV_VAR: _ARTIFACTS,
            constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
            "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
            "_MLFLOW_IN_JOB_EXECUTOR": "false",
            "_MLFLOW_SGI_NAME": "uvicorn",
        }
    )
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, store, _ARTIFACTS)
    from mlflow.server import fastapi_app

    app: FastAPI = fastapi_app.app
    return app
