"""Decisions in short, and the gates that they rest on."""

from __future__ import annotations

from components.contracts import Gate, GateReport, Verdict


def aliases(client, name):
    return {
        alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()
    }


def chain(registry, name):
    """The record in short."""
    return [
        (d.decision.outcome.value, d.decision.version, d.decision.champion_before)
        for d in registry.decisions(name)
    ]


def gates(name, champion, challenger, verdict=Verdict.PASS):
    """One gate of accuracy, one of latency, and one that could not be measured."""
    golden = Gate(
        "golden",
        0.81,
        0.83,
        (0.02, 0.01, 0.03),
        -0.01,
        0.006,
        400,
        verdict,
        "0.02 better on 400 images",
    )
    broken = Gate(
        "class 7",
        None,
        None,
        None,
        None,
        None,
        12,
        Verdict.NOT_EVALUATED,
        "too few",
        required=False,
    )
    p95 = Gate(
        "p95_ms",
        4.0,
        3.8,
        (0.95, 0.86, 0.97),
        1.26,
        None,
        200,
        Verdict.PASS,
        "0.95× in interleaved calls",
    )
    return GateReport(
        f"{name}/{champion}" if champion else "", f"{name}/{challenger}", (golden, broken, p95)
    )
