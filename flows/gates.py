"""The gates by hand: one registered version against another; nothing changes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from components.contracts import GateReport
from flows.config.gates import GatesConfig
from flows.reporting import publish
from flows.reporting.evidence import headline, held_by
from flows.reporting.outcome import Conclusion, concluded
from flows.tasks import stores
from flows.tasks.gates import GateData, gates, golden_hash, golden_split
from flows.tasks.predict import served_as
from flows.tasks.steps import Split


def conclusion(_: GatesConfig, report: GateReport) -> Conclusion:
    """Sum the gates by hand up: passed, not passed by which gate, or undecided by its times."""
    outcome = "passed" if report.passed else f"not passed: {held_by(report) or 'no gate'}"
    return Conclusion(
        report.challenger.rpartition("/")[0],
        "undecided" if report.to_measure_again else outcome,
        "; ".join((headline(report), *report.reasons[:1])),
    )


@concluded("gates", "{config.name}", conclusion)
def check_gates(config: GatesConfig) -> GateReport:
    """Run the gates of one registered version against another; no alias moves.

    Arguments:
        config: the versions and the labelled images.

    Raises:
        FovealError: no such version, or no such images.
    """
    recent = Split(*config.recent) if config.recent else None
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        champion = stores.fetch(config.name, config.against, Path(scratch) / "champion")
        challenger = stores.fetch(config.name, config.challenger, Path(scratch) / "challenger")
        golden = Split(
            config.data, config.golden_split or golden_split(champion.bundle, config.data)
        )
        report = gates(
            served_as(champion),
            served_as(challenger),
            challenger.bundle,
            GateData(golden, golden_hash(champion.bundle, golden.name), recent, recent is not None),
            config.gates,
        )
    publish.gates(report)
    return report
