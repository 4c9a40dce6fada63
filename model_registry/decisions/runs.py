"""A decision as shown in MLflow: a run with its files, and tags on the versions concerned."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.contracts import Decision, Gate, Outcome, dump, load
from components.errors import FovealError
from components.files import write_json, write_text
from components.regular import read_regular_text
from components.tables import Table, interval, markdown_text, number
from model_registry.decisions.history import Entry, History
from model_registry.decisions.record import Record
from model_registry.description import KEY_CHARACTERS
from model_registry.release import runs
from model_registry.store import Store, contended

_TAG_LENGTH = 5000
_DONE = "FINISHED"
_FILE = "decision.json"
_MEASURED = (
    "champion",
    "challenger",
    "difference or ratio [95 %]",
    "limit",
    "achievable",
    "images",
)
_HEADINGS = ("gate", *_MEASURED, "verdict", "")


def open_run(record: Record, decision: Decision, key: str) -> Any:
    """Begin a decision's run, with all its files; it is finished once the aliases have followed."""
    client = record.store.client
    experiment = runs.experiment_of(record.store, record.name)
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
    run = client.create_run(
        experiment, run_name=name, tags={k: v[:_TAG_LENGTH] for k, v in tags.items()}
    )
    runs.log_metrics(client, run.info.run_id, _changes(decision))
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        write_json(Path(scratch) / _FILE, dump(decision))
        write_text(Path(scratch) / "decision.md", page(decision))
        client.log_artifacts(run.info.run_id, scratch)
    return run


def finished(record: Record, entry: Entry) -> bool:
    """Tell whether all that follows from an entry was done: its run says so last."""
    return bool(record.store.client.get_run(entry.run_id).info.status == _DONE)


def finish(record: Record, history: History, entry: Entry, versions: frozenset[int]) -> None:
    """Name a counting entry's run by its place in the record, and tell the versions concerned."""
    client = record.store.client
    for version in versions.intersection((entry.decision.version, entry.decision.champion_before)):
        _tell(record, history, version)
    _log_pair(record, entry)
    client.update_run(entry.run_id, name=f"decision {entry.number} · {_did(entry.decision)}")
    contended(client.set_tag, entry.run_id, "decision", str(entry.number))
    client.set_terminated(entry.run_id, _DONE)


def with_gates(store: Store, entry: Entry) -> Decision:
    """Return an entry's decision with its gates, from its run's files if they did not fit."""
    if entry.decision.gates or entry.decision.outcome not in (Outcome.PROMOTED, Outcome.REJECTED):
        return entry.decision
    if not any(file.path == _FILE for file in store.client.list_artifacts(entry.run_id)):
        return entry.decision
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        path = store.client.download_artifacts(entry.run_id, _FILE, scratch)
        try:
            found = load(Decision, json.loads(read_regular_text(path)))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, FovealError):
            return entry.decision  # the file was changed; the entry has all but the gates
    return found if replace(found, gates=None) == entry.decision else entry.decision


def compared_with(decision: Decision) -> int | None:
    """Return the champion that a decision's gates met; None without gates, or for a first one."""
    _, _, champion = decision.gates.champion.rpartition("/") if decision.gates else ("", "", "")
    return int(champion) if champion else None


def close_unused(record: Record, key: str) -> None:
    """Close the run of an attempt that decided nothing: it was killed, or another one was first."""
    client = record.store.client
    # the model's own, of before
    known = (client.get_experiment_by_name(name) for name in (record.name, record.model))
    experiments = [experiment.experiment_id for experiment in known if experiment]
    mine = f"tags.entry = '{key}' and attributes.status = 'RUNNING'"
    for run in client.search_runs(experiments, filter_string=mine) if experiments else ():
        contended(client.set_tag, run.info.run_id, "outcome", "none, it did not count")
        client.set_terminated(run.info.run_id, "KILLED")


def page(decision: Decision) -> str:
    """A decision as Markdown: what, why, and the gates with their intervals."""
    before = "none" if decision.champion_before is None else f"v{decision.champion_before}"
    event = f", event `{markdown_text(decision.event)}`" if decision.event else ""
    lines = [
        f"# {_did(decision).capitalize()}",
        "",
        f"- Champion before: {before}",
        f"- Trigger: {markdown_text(decision.trigger)}{event}",
        f"- Who: {markdown_text(decision.who)}",
        *(f"- {markdown_text(reason)}" for reason in decision.reasons),
    ]
    if gates := _gates(decision):
        table = Table(_HEADINGS, [_row(gate) for gate in gates])
        lines += ["", "## Gates", "", table.to_markdown()]
    if decision.hashes:
        lines += [
            "",
            "## Data",
            "",
            *(f"- {role}: sha256 `{digest}`" for role, digest in decision.hashes.items()),
        ]
    return "\n".join(lines) + "\n"


def _tell(record: Record, history: History, version: int) -> None:
    """Say on a version's page why it is what it is and what replaced it; its run has the rest."""
    tags = {}
    if entry := history.last_about(version):
        what = (
            f"{entry.number} · {entry.decision.outcome.value.replace('_', ' ')} by "
            f"{entry.decision.who}"
        )
        tags = {"decision": what, "reasons": "; ".join(entry.decision.reasons)[:_TAG_LENGTH]}
    ends = [period.ended_by for period in history.periods() if period.version == version]
    if any(ends):
        last = ends[-1]
        tags["replaced_by"] = (
            f"decision {last.number} · {_did(last.decision)}" if last else "is champion again"
        )
    for key, value in tags.items():
        contended(record.store.client.set_model_version_tag, record.model, str(version), key, value)


def _log_pair(record: Record, entry: Entry) -> None:
    """Put what was measured of both versions on their runs; a second time it changes nothing."""
    pair = paired_metrics(with_gates(record.store, entry))
    for row in record.rows() if pair else ():
        if row.run_id and (values := pair.get(int(row.version))):
            runs.log_metrics(
                record.store.client, row.run_id, values, runs.MetricContext(at=entry.at)
            )


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


def _changes(decision: Decision) -> dict[str, float]:
    """Return what each gate measured, with its interval; one that measured nothing is absent."""
    values = {}
    for gate in _gates(decision):
        what = "ratio" if gate.is_ratio else "difference"
        for part, value in zip(("", "_low", "_high"), gate.difference or (), strict=False):
            values[f"{what}{part}.{_key(gate.name)}"] = value
    return {name: value for name, value in values.items() if math.isfinite(value)}


def paired_metrics(decision: Decision) -> dict[int, dict[str, float]]:
    """Return what the gates measured of both versions, by version.

    Both saw the same images, in interleaved calls.

    Both have the same key, ``gate.v1-v2.golden``, so that MLflow's own comparison shows the pair
    side by side. A version that met several others has a key for each of them.
    """
    before, version = compared_with(decision), decision.version
    if before is None:
        return {}
    whole = [gate for gate in _gates(decision) if not gate.slice_of]
    sides = {
        before: {gate.name: gate.champion for gate in whole},
        version: {gate.name: gate.challenger for gate in whole},
    }
    return {
        side: {
            f"gate.v{before}-v{version}.{_key(name)}": value
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        }
        for side, values in sides.items()
    }


def _row(gate: Gate) -> tuple[object, ...]:
    sign = "×" if gate.is_ratio else ""
    return (
        gate.name,
        number(gate.champion, 4),
        number(gate.challenger, 4),
        interval(gate.difference, ".4f", sign),
        None if gate.limit is None else f"{gate.limit:.4f}{sign}",
        number(gate.achievable, 4),
        gate.images,
        gate.verdict.value if gate.required else f"{gate.verdict.value} (not required)",
        gate.reason,
    )


def _key(name: str) -> str:
    return KEY_CHARACTERS.sub("_", name)
