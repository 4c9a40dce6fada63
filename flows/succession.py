"""Who is champion after a release: the first version of a name by a rule that is written down, a later one by gates.

Times that a busy machine left undecided, and nothing else, decide nothing: the same release, run again, measures again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from components.contracts import GateReport, ModelVersion
from flows import tasks
from flows.config_gates import GatesInput
from flows.gates_publish import publish_gates
from flows.gating import gates, golden_hash
from flows.predicting import Served, read_bundle
from flows.settings import Settings
from flows.steps import Split
from model_registry import CHAMPION, RELEASE, Grounds


def succeed(
    version: ModelVersion, challenger: Served, bundle: Path, golden: Split
) -> tuple[ModelVersion, GateReport | None]:
    """Decide on a version that was just released, and write down why; one that was decided on before stays what it is.

    Arguments:
        version: as it was registered.
        challenger: how it runs.
        bundle: its own.
        golden: the frozen set, on which it meets the champion.

    Returns:
        The version with its aliases, and the gates where there was a champion to meet.
    """
    record = tasks.registry().history(version.name)
    if record.champion is None or record.last_about(version.version):
        return tasks.promote(version), None
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        champion, folder, _ = tasks.fetch(version.name, CHAMPION, Path(scratch))
        report = gates(
            read_bundle(folder, f"{champion.name}/{champion.version}"),
            challenger,
            bundle,
            golden,
            None,
            golden_sha256_of_champion=golden_hash(folder, golden.name),
            require_improvement=False,
            settings=GatesInput(),
        )
    publish_gates(report)
    if report.to_measure_again:
        return version, report
    grounds = Grounds(RELEASE, Settings.from_environment().user, report.reasons, gates=report)
    tasks.decide(version, report, grounds)
    return tasks.registry().get(version.name, version.version), report
