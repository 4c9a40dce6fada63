"""A server of the stack in this process, behind the check of who may ask it.

    python -P -m flows.services.protected_server prefect|mlflow|evidently HOST PORT

What it is over comes from the environment, see `flows.runtime.programs`. SIGTERM and SIGINT stop it
in order.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from components import telemetry
from flows.runtime.access import Access, guard_asgi
from flows.runtime.settings import Settings
from flows.services.entry_page import Entry, with_entry

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_ENTRIES = {
    "prefect": Entry("/deployments", after_hash="prefect-password"),
    "mlflow": Entry(
        "/#/models",
        {
            "mlflow.workflowType_v1": '"machine_learning"',  # not the pages for language models
            # what covers the models at first
            "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
            "_mlflow_user_setting_dismiss_next_model_registry_ui": "true",
        },
    ),
}
_CLOSING_S = 3  # a browser that keeps a connection open does not hold the end up


def main() -> None:
    """Serve until told to stop."""
    import uvicorn

    name, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    telemetry.switch_off()
    access = Access.of(host, port)
    app = {"prefect": _prefect, "mlflow": _mlflow, "evidently": _evidently}[name](
        Settings.from_environment(), access
    )
    if entry := _ENTRIES.get(name):
        app = with_entry(app, entry)
    uvicorn.run(
        guard_asgi(app, access),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_CLOSING_S,
    )


def _prefect(_: Settings, __: Access) -> ASGIApp:
    from prefect.server.api.server import create_app

    return create_app(final=True)


def _mlflow(settings: Settings, access: Access) -> ASGIApp:
    from model_registry.server import mlflow_app

    if not (settings.root / "mlflow" / "mlflow.db").exists():
        settings.registry()  # MLflow makes a database unguarded
    return mlflow_app(
        settings.tracking_uri,
        str(settings.artifact_root),
        hosts=access.hosts,
        origins=access.origins,
    )


def _evidently(settings: Settings, access: Access) -> ASGIApp:
    from evidently.ui.service.app import create_app, get_config

    app: ASGIApp = create_app(get_config(host=access.hosts[0], workspace=str(settings.evidently)))
    return app


if __name__ == "__main__":
    main()
