"""`python -P -m flows.deployment.serving`: the process running what people and automations ask for.

It brings the server to what `foveal.yaml` says, prints `serving`, and then looks every two seconds
for runs that are due; each runs in a process of its own. A server that is not there yet, or goes
away for a while, is waited for, where Prefect's own `serve` gives up after three failed looks and
takes the running flows with it. What `foveal deploy` makes or removes meanwhile is noticed within
half a minute. After each look a file is touched, so that others see that this process goes on
(`Settings.pulse`). SIGTERM and SIGINT stop it: running flows are cancelled, schedules stay as they
are.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from components.errors import ConfigError, FovealError, InputError
from flows.config.deployments import DeploymentsConfig, read_served
from flows.runtime.password import CLIENT
from flows.runtime.server import configure, own_password
from flows.runtime.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from flows.deployment.ownership import OwnFlow
    from flows.deployment.runner import DueRuns

POLL_S = 2.0
RENEW_S = 10.0
_LOOK_S = 60.0  # as long as Prefect's client waits for one answer; it would ask again several times
_LONGEST_WAIT_S = 30.0
_GOODBYE_S = 4.0  # within the grace that `foveal up` gives


def prepare(settings: Settings) -> None:
    """Set what this process and its flows read from the environment; before Prefect is imported.

    Raises:
        ConfigError: no server is named.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise ConfigError(
            "the address of a Prefect server in PREFECT_API_URL",
            found="none",
            hint="set it, or start everything with foveal up",
        )
    configure(settings)
    if secret := own_password(os.environ["PREFECT_API_URL"].rstrip("/"), settings):
        os.environ[CLIENT] = secret
    settings.prefect_home.mkdir(parents=True, exist_ok=True)
    os.environ["FOVEAL_HOME"] = str(settings.root)
    os.environ.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", f"{POLL_S:g}")
    # alerts belong in the log of their run
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "components")


def deploy_when_there(config: DeploymentsConfig, settings: Settings) -> None:
    """Deploy, as soon as the server answers.

    Raises:
        FovealError: the configuration is wrong: waiting does not help.
    """
    import httpx

    from flows.deployment.deploy import deploy

    wait_s = 1.0
    while True:
        try:
            deploy(config, settings)
            return
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
                raise
            _say(f"waiting for Prefect's server: {_line(error)}")
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


async def serve(settings: Settings) -> None:
    """Run what is due of our deployments, later ones of `deploy` too, until SIGTERM or SIGINT."""
    from prefect.client.orchestration import get_client

    from flows.deployment.runner import DueRuns

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with DueRuns(POLL_S) as runner, get_client() as client:
        settings.pulse.touch()
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        looking = asyncio.create_task(_look(runner, client, settings.pulse))
        await stop.wait()
        looking.cancel()
        with suppress(TimeoutError):
            # the server is away: its runs are found crashed when it is back
            await asyncio.wait_for(runner.cancel_all(), _GOODBYE_S)


async def _look(runner: DueRuns, client: PrefectClient, pulse: Path) -> None:
    """Look for runs every two seconds; Prefect's own loop ends for good after three failures."""
    away, renewed, told = False, -math.inf, set[str]()
    while True:
        try:
            async with asyncio.timeout(_LOOK_S):
                if time.monotonic() - renewed > RENEW_S:
                    runner.register_only(await _served(client, told))
                    renewed = time.monotonic()
                await runner.start_due()
            if away:
                _say("Prefect's server is back")
            away = False
        except Exception as error:
            # of whatever kind: a fault in one look is no reason to abandon running flows
            if not away:
                _say(f"could not ask Prefect's server for runs, will go on trying: {_line(error)}")
            away = True
        with suppress(OSError):
            pulse.touch()
        await asyncio.sleep(POLL_S)


async def _served(client: PrefectClient, told: set[str]) -> dict[UUID, OwnFlow]:
    """Return the deployments that are ours by value and in no work pool, as they are now.

    Arguments:
        client: of the server.
        told: lines about others that have been written already; grows.
    """
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    from flows.deployment.ownership import foreign_fields, own_flows
    from flows.tasks.schedules import OURS

    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    served = {}
    for one in await client.read_deployments(deployment_filter=tagged):
        if one.work_pool_name:
            continue
        if not (fields := foreign_fields(one)):
            served[one.id] = own_flows()[str(one.entrypoint)]
            continue
        line = (
            f"not served: the deployment {one.name!r} ({one.id}) has our tag, but is not as foveal "
            "deploy makes it in "
            f"its {', '.join(fields)}; remove it, or run foveal deploy if you changed it"
        )
        if line not in told:
            _say(line)
            told.add(line)
    return served


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": ")


def main() -> None:
    """Serve until told to stop; an optional argument names the file."""
    settings = Settings.from_environment()
    # until there is something to stop in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        prepare(settings)
        config = read_served(Path(sys.argv[1]) if len(sys.argv) > 1 else None, settings)
        deploy_when_there(config, settings)
    except FovealError as error:
        _say(f"error: {error}")
        sys.exit(2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        sys.exit(0)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
