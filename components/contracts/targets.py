"""Targets: where a model is to run, and what it may cost there."""

from __future__ import annotations

from dataclasses import dataclass

from components.contracts.models import Precision


@dataclass(frozen=True)
class Budget:
    """The limits that a target sets; None sets no limit."""

    p95_ms: float | None = None
    size_mb: float | None = None
    peak_rss_mb: float | None = None
    max_accuracy_drop: float | None = None


@dataclass(frozen=True)
class Target:
    """Deployment target: the device that a model is to run on, and limits on its cost there.

    Arguments:
        name: mobile, embedded, edge_server or the user's own.
        description: one line for people.
        backends: names of the backends that may be chosen, in order of preference.
        device: cpu, gpu, …, as the backends call it.
        threads: intra-op threads; 0 is all cores of the machine.
        precisions: the precisions that the recipe makes and compares.
        budget: the limits.
        accelerators: what the device offers at run time (nnapi, coreml, …), for the bundle's
            configuration.
        measured_on_host: the budget is that of another device than the one measured on.
    """

    name: str
    description: str
    backends: tuple[str, ...]
    device: str
    threads: int
    precisions: tuple[Precision, ...]
    budget: Budget
    accelerators: tuple[str, ...] = ()
    measured_on_host: bool = False
