"""All a team needs on one machine: servers and served deployments, until somebody ends them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from components.errors import UnavailableError
from flows.config.deployments import read_served
from flows.runtime.ending import taking_time
from flows.runtime.ports import holder
from flows.runtime.root_lock import announcing_up, occupying
from flows.runtime.server import configure, require_answer, stop_server
from flows.runtime.settings import Settings
from flows.services.services import Optional, Places, prefect_url, services
from flows.services.supervisor import RestartPolicy, Service, Supervisor
from model_registry import require_in_place


def up(
    settings: Settings,
    places: Places,
    *,
    without: Sequence[Optional] = (),
    ready: Callable[[tuple[Service, ...], tuple[str, ...]], None],
    tell: Callable[[str], None],
) -> None:
    """Bring all services up over a storage root, and keep them up until SIGINT, SIGTERM or SIGHUP.

    Arguments:
        settings: the storage.
        places: where to listen.
        without: services to leave out.
        ready: called once, when each is healthy; with the services, and the names of those that are
            tried still.
        tell: takes each event worth a line.

    Raises:
        ConfigError: two services have one port, or what to serve is wrong (`read_served`).
        RegistryError: the storage root was moved or copied.
        UnavailableError: the root or a port is taken, the user's own Prefect server does not
            answer, or a vital service keeps dying; nothing of ours is left running.
    """
    if Optional.DEPLOYMENTS not in without:
        read_served(None, settings)
    listed, api = services(settings, places, without=without), prefect_url(places)
    names = {service.name for service in listed}
    if settings.embedded_tracking and settings.artifact_root:
        require_in_place(settings.registry_database, settings.artifact_root)
    configure(settings)
    if "prefect" not in names:
        require_answer(api)
    with occupying(settings.root) as lock:
        require_free(listed)
        stop_server(settings.prefect_home)  # that of a command that was killed
        settings.evidently.mkdir(parents=True, exist_ok=True)
        addresses = {service.name: service.address for service in listed if service.address}
        with announcing_up(settings.root, api, addresses):
            supervise(
                listed,
                settings.root / "logs",
                ready=lambda away: ready(listed, away),
                tell=tell,
                keep=(lock,),
            )


def supervise(
    listed: Sequence[Service],
    logs: Path,
    *,
    ready: Callable[[tuple[str, ...]], None],
    tell: Callable[[str], None],
    restart_policy: RestartPolicy | None = None,
    keep: Sequence[int] = (),
) -> None:
    """Run services until this process is told to end; see `Supervisor` for arguments and errors."""
    supervisor = Supervisor(listed, logs, restart_policy=restart_policy, tell=tell, keep=keep)
    with _told_to_end() as stop:
        try:
            if supervisor.start(stop):
                ready(supervisor.missing)
                supervisor.watch(stop)
        finally:
            supervisor.stop()


def require_free(listed: Sequence[Service]) -> None:
    """Find in a moment that a port is taken, before anything is started.

    Raises:
        UnavailableError: by whom.
    """
    wanted = [(service.name, *service.listens) for service in listed if service.listens]
    taken = [(name, port, by) for name, host, port in wanted if (by := holder(host, port))]
    if taken:
        raise UnavailableError(
            " and ".join(f"port {port} free for {name}" for name, port, _ in taken),
            found=", ".join(by for _, _, by in taken),
            hint="end it, or choose another: "
            + ", ".join(f"--{name}-port" for name, _, _ in taken),
        )


@contextmanager
def _told_to_end() -> Iterator[Event]:
    """Yield an event that ending signals set; they end nothing, nor can they interrupt the stop."""
    stop = Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        with taking_time():
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
