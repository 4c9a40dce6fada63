"""`python -m flows.serving`: the process that runs what people and automations ask the Prefect server for.

It brings the server to what `foveal.yaml` says, prints `serving`, and then looks every two seconds for runs that are
due; each runs in a process of its own. A server that is not there yet, or goes away for a while, is waited for, where
Prefect's own `serve` gives up after three failed looks and takes the running flows with it. What `foveal deploy` makes
or removes meanwhile is noticed within half a minute. After each look a file is touched, so that others see that this
process goes on (`Settings.pulse`). SIGTERM and SIGINT stop it: running flows are cancelled, schedules stay as they are.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from components.errors import ConfigError, FovealError, InputError
from flows.config import ReleaseConfig, read_config
from flows.config_deployments import DeploymentsConfig, read_deployments, require_release
from flows.server import configure
from flows.settings import Settings

if TYPE_CHECKING:
    from prefect.runner import Runner

POLL_S = 2.0
RENEW_S = 30.0
_LOOK_S = 60.0  # as long as Prefect's client waits for one answer; it would ask again several times
_LONGEST_WAIT_S = 30.0
_GOODBYE_S = 30.0


def prepare(settings: Settings) -> None:
    """Set what this process and its flows read from the environment; before Prefect is imported.

    Raises:
        ConfigError: no server is named.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise ConfigError(
            "the address of a Prefect server in PREFECT_API_URL",
            found="none",
            mend="set it, or start everything with foveal up",
        )
    configure(settings)
    settings.prefect_home.mkdir(parents=True, exist_ok=True)
    os.environ["FOVEAL_HOME"] = str(settings.root)
    os.environ.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", f"{POLL_S:g}")
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "components")  # alerts belong in the log of their run


def read_served(path: Path | None, settings: Settings) -> DeploymentsConfig:
    """What to serve, checked before anything is started; see `read_deployments`.

    Raises:
        ConfigError: the file, or the release file that it names, is missing or wrong, or a work pool runs everything.
    """
    config = read_deployments(path, settings)
    if pool := config.work_pool:
        raise ConfigError(
            "deployments that are served here",
            found=f"work pool {pool.name} in the configuration, whose worker runs them",
            mend=f"start prefect worker start --pool {pool.name} where runs are to take place, and foveal up "
            "--without deployments, or leave work_pool out",
        )
    require_release(config)
    for model in config.models:
        if model.release:
            read_config(model.release, ReleaseConfig)
    return config


def deploy_when_there(config: DeploymentsConfig, settings: Settings) -> list[UUID]:
    """Deploy, as soon as the server answers; gives the ids of what is to be served.

    Raises:
        FovealError: the configuration is wrong: waiting would not mend it.
    """
    import httpx

    from flows.automations import Change
    from flows.deploying import deploy

    wait_s = 1.0
    while True:
        try:
            served = deploy(config, settings)
            return [one.id for one in served.deployments if one.change is not Change.REMOVED]
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
                raise
            _say(f"waiting for Prefect's server: {_line(error)}")
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


async def serve(ids: list[UUID], settings: Settings) -> None:
    """Run what is due of these deployments, and of those that `deploy` makes later, until SIGTERM or SIGINT."""
    from prefect.runner import Runner

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = Runner(name="foveal", query_seconds=POLL_S, pause_on_shutdown=False, limit=None)
    _register(runner, ids)
    async with runner:
        settings.pulse.touch()
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        looking = asyncio.create_task(_look(runner, settings.pulse))
        await stop.wait()
        looking.cancel()
        with suppress(TimeoutError):  # the server is away: its runs are found crashed when it is back
            await asyncio.wait_for(runner.cancel_all(), _GOODBYE_S)


async def _look(runner: Runner, pulse: Path) -> None:
    """Look for runs every two seconds; Prefect's own loop ends for good after three failed looks."""
    away, renewed = False, time.monotonic()
    while True:
        try:
            async with asyncio.timeout(_LOOK_S):
                if time.monotonic() - renewed > RENEW_S:
                    _register(runner, await _served(runner))
                    renewed = time.monotonic()
                await runner._scheduled_run_poller._get_and_submit_flow_runs()
            if away:
                _say("Prefect's server is back")
            away = False
        except Exception as error:  # of whatever kind: a fault in one look is no reason to abandon running flows
            if not away:
                _say(f"could not ask Prefect's server for runs, will go on trying: {_line(error)}")
            away = True
        with suppress(OSError):
            pulse.touch()
        await asyncio.sleep(POLL_S)


def _register(runner: Runner, ids: Iterable[UUID]) -> None:
    """Make these deployments the ones whose runs are looked for."""
    registered = runner._deployment_registry._deployment_ids
    registered.clear()
    registered.update(ids)


async def _served(runner: Runner) -> list[UUID]:
    """The deployments that are ours and in no work pool, as the server has them now."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    from flows.deployments import OURS

    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    found = await runner._client.read_deployments(deployment_filter=ours)
    return [one.id for one in found if not one.work_pool_name]


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": ")


def main() -> None:
    """Serve until told to stop; an optional argument names the file."""
    settings = Settings.from_environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until there is something to stop in order
    try:
        prepare(settings)
        config = read_served(Path(sys.argv[1]) if len(sys.argv) > 1 else None, settings)
        ids = deploy_when_there(config, settings)
    except FovealError as error:
        _say(f"error: {error}")
        sys.exit(2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        sys.exit(0)
    asyncio.run(serve(ids, settings))


if __name__ == "__main__":
    main()
