"""Starts services in order of needs, restarts what dies or hangs, stops all whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from components.errors import UnavailableError
from components.printing import counted
from flows.runtime.processes import answers, end_family, last_lines

_TICK_S = 0.2
_HEAD_BYTES = 1 << 16

Ready = Callable[[Path], bool]


@dataclass(frozen=True)
class Service:
    """A program that runs as long as its supervisor.

    Arguments:
        name: names its log too.
        command: program and arguments.
        ready: whether it is healthy, given the log of its present process; see `at`, `printing` and
            `touching`.
        environment: what it has beside the supervisor's own.
        needs: names of services that must be healthy before it starts; they come before it in the
            list.
        listens: host and port that it takes.
        address: its URL; empty when it has none.
        page: what to open below the address.
        purpose: what it is for, in a few words.
        vital: whether everything ends when it keeps dying; others are tried on, since the rest
            works without them.
    """

    name: str
    command: tuple[str, ...]
    ready: Ready
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    listens: tuple[str, int] | None = None
    address: str = ""
    page: str = ""
    purpose: str = ""
    vital: bool = True


def at(url: str) -> Ready:
    """Healthy when the address answers."""
    return lambda _log: answers(url)


def printing(line: str) -> Ready:
    """Healthy when it has printed the line, among the first that it prints."""

    def said(log: Path) -> bool:
        with contextlib.suppress(OSError), log.open("rb") as file:
            return line in file.read(_HEAD_BYTES).decode(errors="replace").splitlines()
        return False

    return said


def touching(file: Path, within_s: float) -> Ready:
    """Healthy when it has touched a file within the last seconds."""

    def touched(_log: Path) -> bool:
        with contextlib.suppress(OSError):
            return time.time() - file.stat().st_mtime < within_s
        return False

    return touched


def all_of(*conditions: Ready) -> Ready:
    """Healthy when it is so by each."""
    return lambda log: all(condition(log) for condition in conditions)


@dataclass(frozen=True)
class RestartPolicy:
    """Restart limits, waits and timeouts of a supervisor.

    Arguments:
        tries: restarts of one service in a row; after them a vital one is given up, and others wait
            the longest.
        first_wait_s: before the first restart; it doubles with each.
        longest_wait_s: bound of that.
        settled_s: after so long in health, earlier deaths of a service are forgotten.
        startup_s: to become healthy; longer counts as a death.
        check_s: between two looks at the health of a service that runs.
        silence_s: in which such a service must have been found healthy; longer counts as a death.
        grace_s: to end in order before it is killed.
        stop_s: to end in order, for all services together.
    """

    tries: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    settled_s: float = 60.0
    startup_s: float = 180.0
    check_s: float = 10.0
    silence_s: float = 120.0
    grace_s: float = 6.0  # the served deployments cancel running flows
    stop_s: float = 8.0

    def wait_s(self, deaths: int) -> float:
        """Return how long to wait after so many deaths, the first being 1."""
        if deaths > self.tries:
            return self.longest_wait_s
        return float(min(self.longest_wait_s, self.first_wait_s * 2 ** min(deaths - 1, 32)))


class Supervisor:
    """Runs services as children; a guard ends each with its descendants (`flows.services.guard`).

    Arguments:
        services: in an order in which what is needed comes first.
        logs: folder of ``NAME.log``, what the present process says, and ``NAME.1.log``, what the
            one before said.
        restart_policy: when and how often to restart what died, and how long to wait.
        tell: takes each event worth a line.
        keep: file descriptors that stay open as long as anything of a service lives, e.g. of a
            lock.
    """

    def __init__(
        self,
        services: Sequence[Service],
        logs: Path,
        *,
        restart_policy: RestartPolicy | None = None,
        tell: Callable[[str], None],
        keep: Sequence[int] = (),
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._restart_policy, self._tell = restart_policy or RestartPolicy(), tell
        grace_s = self._restart_policy.grace_s
        self._charges = {
            service.name: _Child(service, logs / f"{service.name}.log", grace_s, keep)
            for service in services
        }

    @property
    def missing(self) -> tuple[str, ...]:
        """Services that died too often and are unhealthy; still restarted, after long waits."""
        most = self._restart_policy.tries
        return tuple(
            name for name, one in self._charges.items() if one.deaths > most and not one.healthy
        )

    def start(self, stop: Event) -> bool:
        """Start all services and wait until each is healthy; return False if told to `stop` first.

        One that is not vital and died too often is not waited for; see `missing`.

        Raises:
            UnavailableError: a vital one died too often; the others still run, until `stop`.
        """
        while not all(
            charge.healthy or charge.service.name in self.missing
            for charge in self._charges.values()
        ):
            self._look()
            if stop.wait(_TICK_S):
                return False
        return True

    def watch(self, stop: Event) -> None:
        """Restart what dies or hangs until told to stop.

        Raises:
            UnavailableError: a vital service died too often; the others still run, until `stop`.
        """
        while not stop.wait(_TICK_S):
            self._look()

    def stop(self) -> None:
        """End all services with descendants, each after those that need it, in about `stop_s`."""
        deadline = time.monotonic() + self._restart_policy.stop_s
        left = list(self._charges.values())
        while left:
            needed = {name for charge in left for name in charge.service.needs}
            free = [charge for charge in left if charge.service.name not in needed] or left
            for charge in free:
                charge.ask()
            for charge in free:
                charge.end(deadline)
            left = [charge for charge in left if charge not in free]

    def _look(self) -> None:
        now = time.monotonic()
        for charge in self._charges.values():
            if charge.process is None:
                if now >= charge.due and all(
                    self._charges[name].healthy for name in charge.service.needs
                ):
                    charge.begin()
            elif (code := charge.process.poll()) is not None:
                self._died(charge, f"ended with code {code}")
            elif now >= charge.due:
                self._ask(charge)

    def _ask(self, charge: _Child) -> None:
        """Check the health of a service that runs; one that is busy may be silent for a while."""
        restart_policy, now = self._restart_policy, time.monotonic()
        if charge.service.ready(charge.log):
            if charge.deaths and not charge.healthy:
                self._tell(f"{charge.service.name} is healthy again")
            charge.since = charge.since if charge.healthy else now
            charge.healthy, charge.answered, charge.due = True, now, now + restart_policy.check_s
        elif charge.healthy and now - charge.answered > restart_policy.silence_s:
            self._died(charge, f"has not answered for {restart_policy.silence_s:g} s")
        elif not charge.healthy and now - charge.since > restart_policy.startup_s:
            self._died(charge, f"was not healthy after {restart_policy.startup_s:.0f} s")

    def _died(self, charge: _Child, how: str) -> None:
        restart_policy, name, now = self._restart_policy, charge.service.name, time.monotonic()
        was_healthy = charge.healthy
        if was_healthy and now - charge.since > restart_policy.settled_s:
            charge.deaths = 0
        charge.end(now)
        charge.deaths += 1
        if charge.deaths > restart_policy.tries and charge.service.vital:
            raise UnavailableError(
                f"{name} to keep running",
                found=f"that it {how}, after {counted(restart_policy.tries, 'restart')}: "
                f"{last_lines(charge.log)}",
                hint=f"read {charge.log}",
            )
        wait_s = restart_policy.wait_s(charge.deaths)
        charge.due = now + wait_s
        said = f"{name} {how}" if was_healthy else f"{name} {how} ({last_lines(charge.log, 1)})"
        if charge.deaths <= restart_policy.tries:
            self._tell(
                f"{said}; starting it again in {wait_s:g} s ({charge.deaths} of "
                f"{restart_policy.tries})"
            )
        elif was_healthy or charge.deaths == restart_policy.tries + 1:
            self._tell(
                f"{said}, after {counted(restart_policy.tries, 'restart')}; "
                f"the rest goes on, and it is tried every {wait_s:g} s"
            )


class _Child:
    """A service, and what is known of the process that runs it."""

    def __init__(self, service: Service, log: Path, grace_s: float, keep: Sequence[int]) -> None:
        self.service, self.log, self._grace_s, self._keep = service, log, grace_s, keep
        self.process: subprocess.Popen[bytes] | None = None
        self.healthy, self.deaths = False, 0
        # time.monotonic(); due: to be started, or asked how it is
        self.since = self.due = self.answered = 0.0

    def begin(self) -> None:
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".1.log"))
        guarded = (
            sys.executable, "-P", "-m", "flows.services.guard", str(self._grace_s),
            *self.service.command,
        )  # fmt: skip
        with self.log.open("wb") as sink:
            # A session of its own: Ctrl-C reaches the supervisor alone, which then stops all in
            # order.
            self.process = subprocess.Popen(  # noqa: S603 - commands of our own
                guarded,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
                bufsize=0,
                env={**os.environ, **self.service.environment},
                start_new_session=True,
                pass_fds=self._keep,
            )
        self.since = time.monotonic()

    def ask(self) -> None:
        """Have its guard end it, without waiting for that."""
        if self.process and self.process.stdin:
            self.process.stdin.close()

    def end(self, deadline: float) -> None:
        """Ask, wait to the deadline (monotonic, s), then insist; a dead guard's leftovers too."""
        self.ask()
        process, self.process, self.healthy = self.process, None, False
        if process is None:
            return
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            end_family(process.pid, grace_s=0)
            process.wait()
        with contextlib.suppress(ProcessLookupError):
            # only a guard that was killed itself leaves somebody in its group
            os.killpg(process.pid, signal.SIGKILL)
