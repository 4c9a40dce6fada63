"""All checks of `foveal doctor`, at the same time, each within a bound."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from threading import Thread

from flows.doctor import machine, models, servers, storage, versions
from flows.doctor.finding import Finding, State
from flows.runtime.settings import Settings
from flows.services.services import Places

BOUND_S = 90.0
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")

Check = Callable[[], list[Finding]]


def examine(settings: Settings, places: Places | None = None) -> tuple[Finding, ...]:
    """Examine everything, in the order in which a reader would mend it.

    Arguments:
        settings: the storage and the servers.
        places: the ports of `foveal up`.
    """
    checks: dict[str, Check] = {
        "versions": versions.examine,
        "storage": lambda: storage.examine(settings),
        "store": lambda: storage.examine_store(settings),
        "decisions": lambda: storage.examine_records(settings),
        "servers": lambda: servers.examine(settings),
        "models": lambda: models.examine(settings),
        "backends": machine.examine_backends,
        "yolo": machine.examine_yolo,
        "gpu": machine.examine_gpu,
        "ports": lambda: machine.examine_ports(settings, places or Places()),
        "telemetry": machine.examine_telemetry,
        "alerts": lambda: machine.examine_alerts(settings),
    }
    return bounded(checks, BOUND_S)


def bounded(checks: dict[str, Check], seconds: float) -> tuple[Finding, ...]:
    """Run checks together; one that does not come back, e.g. a silent store's, is a finding itself.

    Arguments:
        checks: by name.
        seconds: for all of them.
    """
    found: dict[str, list[Finding]] = {}

    def run(name: str, check: Check) -> None:
        try:
            found[name] = check()
        except Exception as error:  # a failing check is itself reported
            text = (
                f"the check itself failed: {type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]}"
            )
            found[name] = [
                Finding(name, State.FAIL, text, "report this, with the lines above and below it")
            ]

    threads = [Thread(target=run, args=item, daemon=True) for item in checks.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {seconds:.0f} s"
    silent = {
        name: [Finding(name, State.FAIL, late, "see whether its server or network answers")]
        for name in checks
    }
    return tuple(_masked(finding) for name in checks for finding in found.get(name, silent[name]))


def _masked(finding: Finding) -> Finding:
    """Without the users and passwords that URLs may hold."""
    return replace(
        finding, found=_CREDENTIALS.sub("", finding.found), hint=_CREDENTIALS.sub("", finding.hint)
    )
