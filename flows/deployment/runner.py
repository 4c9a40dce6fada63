"""Prefect's runner, which looks for runs when told to: the one file with what is private in it.

Its own loop ends for good after three failed looks at the server, and takes the running flows with
it, where `serving` waits and is started again when it hangs. Prefect's public worker ends likewise,
after twelve, and runs whatever deployment is in its pool, also one that others have changed
(docs/decisions/0030). A test on a real server fails when these attributes change
(tests/integration/test_deploying.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.runner import Runner
from prefect.runner._flow_run_executor import ProcessStarter
from prefect.runner._starter_engine import EngineCommandStarter
from prefect.utilities.processutils import command_to_string

from flows.deployment.ownership import OwnFlow, own_flows
from flows.runtime.programs import PYTHON


class DueRuns(Runner):
    """Start runs that are due of registered deployments, each in a process of its own, once a call.

    Arguments:
        query_seconds: between two looks at runs that are to be cancelled.
    """

    def __init__(self, query_seconds: float) -> None:
        super().__init__(
            name="foveal", query_seconds=query_seconds, pause_on_shutdown=False, limit=None
        )

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._scheduled_run_poller._resolve_starter = self._own_starter
        return self

    async def start_due(self) -> None:
        """Ask the server once for runs that are due, and start them."""
        await self._scheduled_run_poller._get_and_submit_flow_runs()

    def register_only(self, served: Mapping[UUID, OwnFlow]) -> None:
        """Look for runs of these deployments alone; each has the flow that its runs execute."""
        registry = self._deployment_registry
        registry._deployment_ids.clear()
        for deployment, flow in served.items():
            registry.register_deployment(deployment)
            registry.register_flow(deployment, flow)  # hooks of a run that ended are read from here

    def _own_starter(self, flow_run: FlowRun) -> ProcessStarter:
        """Return what starts a run by our entry point, whatever its deployment says by then."""
        heartbeat = self._heartbeat_seconds
        flow = (
            self._deployment_registry.get_flow(flow_run.deployment_id)
            if flow_run.deployment_id
            else None
        )
        return EngineCommandStarter(
            tmp_dir=self._tmp_dir,
            entrypoint=next(entry for entry, own in own_flows().items() if own is flow),
            command=command_to_string([*PYTHON, "-m", "flows.deployment.run_engine"]),
            heartbeat_seconds=None if heartbeat is None else int(heartbeat),
            control_channel=self._control_channel,
        )
