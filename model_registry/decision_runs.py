"""A decision as people meet it in MLflow: a run with its files, and tags on the versions that it concerns."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from components.contracts import Decision, Gate, dump
from components.files import write_json, write_text
from model_registry import runs
from model_registry.history import Entry, History
from model_registry.markdown import number, table, text
from model_registry.record import Record
from model_registry.release import KEY_CHARACTERS
from model_registry.store import contended

_TAG_LENGTH = 5000
_DONE = "FINISHED"


def open_run(record: Record, decision: Decision, key: str) -> Any:
    """Begin the run of a decision, with all of its files; it is finished once the aliases have followed."""
    client = record.store.client
    experiment = runs.experiment_of(record.store, record.model)
    name = f"decision · {_did(decision)}"
    tags = {
        "mlflow.source.name": "foveal",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": page(decision),
        "foveal.kind": "decision",
        "entry": key,
        **_facts(decision),
        **{f"{role}_sha256": digest for role, digest in decision.hashes.items()},
        **{f"gate.{_key(gate.name)}": gate.verdict.value for gate in _gates(decision)},
    }
    run = client.create_run(experiment, run_name=name, tags={k: v[:_TAG_LENGTH] for k, v in tags.items()})
    runs.log_metrics(client, run.info.run_id, _differences(decision))
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        write_json(Path(scratch) / "decision.json", dump(decision))
        write_text(Path(scratch) / "decision.md", page(decision))
        client.log_artifacts(run.info.run_id, scratch)
    return run


def finished(record: Record, entry: Entry) -> bool:
    """Whether all that follows from an entry was done: its run says so last."""
    return bool(record.store.client.get_run(entry.run_id).info.status == _DONE)


def finish(record: Record, history: History, entry: Entry, versions: frozenset[int]) -> None:
    """Name the run of an entry that counts after its place in the record, and tell the versions that it concerns."""
    client = record.store.client
    for version in versions.intersection((entry.decision.version, entry.decision.champion_before)):
        _tell(record, history, version)
    client.update_run(entry.run_id, name=f"decision {entry.number} · {_did(entry.decision)}")
    contended(client.set_tag, entry.run_id, "decision", str(entry.number))
    client.set_terminated(entry.run_id, _DONE)


def close_unused(record: Record, key: str) -> None:
    """Close the run of an attempt that decided nothing: it was killed, or another one was first."""
    client = record.store.client
    experiment = client.get_experiment_by_name(record.model)
    if experiment is None:
        return
    mine = f"tags.entry = '{key}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment.experiment_id], filter_string=mine):
        contended(client.set_tag, run.info.run_id, "outcome", "none, it did not count")
        client.set_terminated(run.info.run_id, "KILLED")


def page(decision: Decision) -> str:
    """A decision as Markdown: what, why, and the gates with their intervals."""
    before = "none" if decision.champion_before is None else f"v{decision.champion_before}"
    lines = [
        f"# {_did(decision).capitalize()}",
        "",
        f"- Champion before: {before}",
        f"- Trigger: {text(decision.trigger)}" + (f", event `{text(decision.event)}`" if decision.event else ""),
        f"- Who: {text(decision.who)}",
        *(f"- {text(reason)}" for reason in decision.reasons),
    ]
    if gates := _gates(decision):
        header = ("gate", "champion", "challenger", "difference [95 %]", "limit", "achievable", "images", "verdict", "")
        lines += ["", "## Gates", "", table(header, [_row(gate) for gate in gates])]
    if decision.hashes:
        lines += ["", "## Data", "", *(f"- {role}: sha256 `{digest}`" for role, digest in decision.hashes.items())]
    return "\n".join(lines) + "\n"


def _tell(record: Record, history: History, version: int) -> None:
    """Say on a version's page why it is what it is, and what took its place."""
    tags = {}
    if entry := history.last_about(version):
        tags = {
            "decision": f"{entry.number} · {entry.decision.outcome.value}",
            f"{entry.decision.outcome.value}_at": entry.at.isoformat(timespec="seconds"),
            "decided_by": entry.decision.who,
            "decision_run": entry.run_id,
            "trigger": entry.decision.trigger,
            "reasons": "; ".join(entry.decision.reasons)[:_TAG_LENGTH],
        }
    ends = [reign.ended_by for reign in history.reigns() if reign.version == version]
    if any(ends):
        last = ends[-1]
        tags["replaced_by"] = f"decision {last.number} · {_did(last.decision)}" if last else "is champion again"
    for key, value in tags.items():
        contended(record.store.client.set_model_version_tag, record.model, str(version), key, value)


def _did(decision: Decision) -> str:
    return f"{decision.outcome.value.replace('_', ' ')} v{decision.version}"


def _facts(decision: Decision) -> dict[str, str]:
    before = decision.champion_before
    return {
        "outcome": decision.outcome.value,
        "version": str(decision.version),
        "champion_before": "" if before is None else str(before),
        "trigger": decision.trigger,
        "event": decision.event,
        "who": decision.who,
    }


def _gates(decision: Decision) -> tuple[Gate, ...]:
    return decision.gates.gates if decision.gates else ()


def _differences(decision: Decision) -> dict[str, float]:
    """What each gate measured, with its interval; one that measured nothing is absent."""
    values = {}
    for gate in _gates(decision):
        for part, value in zip(("", "_low", "_high"), gate.difference or (), strict=False):
            values[f"difference{part}.{_key(gate.name)}"] = value
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _row(gate: Gate) -> tuple[str, ...]:
    difference = "–" if gate.difference is None else "{:.4f} [{:.4f}, {:.4f}]".format(*gate.difference)
    return (
        text(gate.name),
        number(gate.champion, 4),
        number(gate.challenger, 4),
        difference,
        number(gate.limit, 4),
        number(gate.achievable, 4),
        str(gate.images),
        gate.verdict.value if gate.required else f"{gate.verdict.value} (not required)",
        text(gate.reason),
    )


def _key(name: str) -> str:
    return KEY_CHARACTERS.sub("_", name)
