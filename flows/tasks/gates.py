"""Champion against challenger: the gates as a step, and the decision that follows a release.

The first version of a name becomes champion by a rule that is written down, a later one by the
gates. Times that a busy machine left undecided, and nothing else, decide nothing: the same release,
run again, measures again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.contracts import Check, Decision, GateReport, ModelVersion, Verdict, dump
from components.datasets.dataset import dataset_splits, load_dataset
from components.errors import DatasetError
from components.evaluation import EvaluationSet, GateInputs, GatePolicy, run_gates
from components.files import write_json
from components.images.reading import read_image
from components.images.statistics import image_statistics
from components.printing import counted
from flows.reporting import publish
from flows.reporting.progress import advance
from flows.runtime.settings import Settings
from flows.tasks.components import evenly, promote
from flows.tasks.predict import Served, served_as
from flows.tasks.steps import Split, step, working_folder
from flows.tasks.stores import fetch, registry
from model_registry import CHAMPION, RELEASE, Rationale

QUERIES = 3  # golden images that a bundle is asked about


@dataclass(frozen=True)
class GateData:
    """Images that the gates compare versions on.

    Arguments:
        golden: the frozen set.
        golden_sha256_of_champion: of the golden set that the champion was released with, see
            `golden_hash`.
        recent: labelled images since the drift, or None.
        require_improvement: drift was the cause.
    """

    golden: Split
    golden_sha256_of_champion: str | None
    recent: Split | None = None
    require_improvement: bool = False


@step("gates", sure=lambda report: is_settled(report))
def gates(
    champion: Served | None, challenger: Served, bundle: Path, data: GateData, settings: GatePolicy
) -> GateReport:
    """Run every gate of a challenger.

    Arguments:
        champion: what is in production, or None.
        challenger: what is to take its place.
        bundle: the challenger's, as a folder or a zip.
        data: the images.
        settings: limits and effort.
    """
    task = challenger.variant.artifact.spec.task
    evaluation_set = _evaluation_set(data.golden, task, settings.slices)
    queries = [image.path for image in evenly(evaluation_set.dataset.images, QUERIES)]
    report = run_gates(
        champion.variant if champion else None,
        challenger.variant,
        GateInputs(
            golden=evaluation_set,
            target=challenger.target,
            smoke=lambda: load_and_query(bundle, queries),
            recent=_evaluation_set(data.recent, task, settings.slices) if data.recent else None,
            golden_sha256_of_champion=data.golden_sha256_of_champion,
            require_improvement=data.require_improvement,
        ),
        policy=settings,
        progress=advance,
    )
    write_json(working_folder() / "gates.json", dump(report))
    return report


def is_settled(report: GateReport) -> bool:
    """Tell whether the times were decided on by a quiet machine; a busy one is asked again."""
    decided = (Verdict.PASS, Verdict.FAIL)
    return all(
        gate.noise is None and (gate.name != "p95_ms" or gate.verdict in decided)
        for gate in report.gates
    )


def golden_hash(bundle: Path, split: str) -> str | None:
    """Return the content hash of a version's golden set at release; None if its bundle lacks it.

    A retrained version holds the same images under another split's name, so the bundle names its
    golden split.

    Arguments:
        bundle: of the version.
        split: the golden split of a bundle that does not name it.
    """
    from components.package import read_manifest

    details = read_manifest(bundle).details
    known: Any = details.get("datasets")
    return known.get(details.get("golden_split", split)) if isinstance(known, dict) else None


def golden_split(bundle: Path, data: Path) -> str:
    """Find the split that was a version's golden set at release: by images and labels, else name.

    Arguments:
        bundle: of the version.
        data: the dataset to look in; after a retraining its splits may have other names than those
            of the bundle.

    Raises:
        DatasetError: the dataset has no such split.
    """
    from components.package import read_manifest

    manifest = read_manifest(bundle)
    named = str(manifest.details.get("golden_split", "golden"))
    known, there = golden_hash(bundle, named), dataset_splits(data)
    readable = []
    for split in dict.fromkeys((named, *there)):  # its own name first: reading takes time
        with suppress(DatasetError):
            # a damaged split is not the one, and another split is not what is asked about
            if load_dataset(data, split, objects=False).sha256 == known:
                return split
            readable.append(split)
    if named in readable:
        return named
    raise DatasetError(
        f"the golden set of {manifest.name} in {data}, which was the split {named} at its release",
        found=", ".join(there) or "no splits",
        hint="name the split with --golden-split",
    )


def load_and_query(bundle: Path, images: Sequence[Path]) -> Check:
    """Use a bundle as a deployer would: check all files, rerun its golden set, ask about images.

    Raises:
        FovealError: it is damaged or does not load.
    """
    from components.package import run_bundle, verify_bundle

    verification = verify_bundle(bundle)
    answers = run_bundle(bundle, images)
    failures = [f"{check.name}: {check.reason}" for check in verification.failed]
    failures += [f"{answer['image']}: {answer['error']}" for answer in answers if "error" in answer]
    if failures:
        return Check("bundle", None, None, Verdict.FAIL, "; ".join(failures[:3]))
    golden = counted(verification.images, "golden image")
    reason = f"its {golden} reproduced, {counted(len(answers), 'image')} answered"
    return Check("bundle", None, None, Verdict.PASS, reason)


def thirds(column: str, values: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.bool_]]:
    """Slice images by a number: name → which of them, (n,) bool; equal numbers stay together."""
    low, high = np.quantile(values, (1 / 3, 2 / 3))
    parts = {
        f"{column} ≤ {low:.4g}": values <= low,
        f"{column} {low:.4g}–{high:.4g}": (values > low) & (values <= high),
        f"{column} > {high:.4g}": values > high,
    }
    return {name: mask for name, mask in parts.items() if mask.any()}


def _evaluation_set(split: Split, task: str, columns: Sequence[str]) -> EvaluationSet:
    """A labelled split, read as a task's, and its slices."""
    dataset = load_dataset(split.data, split.name, task=task, objects=False)
    if not columns:
        return EvaluationSet(dataset)
    rows = []
    for done, image in enumerate(dataset.images, start=1):
        rows.append(image_statistics(read_image(image.path)))
        advance("describing images", done, len(dataset.images))
    values = {column: np.array([row[column] for row in rows]) for column in columns}
    return EvaluationSet(
        dataset,
        {name: mask for column in columns for name, mask in thirds(column, values[column]).items()},
    )


def decide_release(
    version: ModelVersion, challenger: Served, bundle: Path, golden: Split
) -> tuple[ModelVersion, GateReport | None]:
    """Decide on a version just released and record why; one decided on before stays what it is.

    Arguments:
        version: as it was registered.
        challenger: how it runs.
        bundle: its own.
        golden: the frozen set, on which it meets the champion.

    Returns:
        The version with its aliases, and the gates where there was a champion to meet.
    """
    record = registry().history(version.name)
    if record.champion is None or record.last_about(version.version):
        return promote(version), None
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        champion = fetch(version.name, CHAMPION, Path(scratch))
        report = gates(
            served_as(champion),
            challenger,
            bundle,
            GateData(golden, golden_hash(champion.bundle, golden.name)),
            GatePolicy(),
        )
    publish.gates(report)
    if report.to_measure_again:
        return version, report
    rationale = Rationale(RELEASE, Settings.from_environment().user, report.reasons, gates=report)
    decide(version, report, rationale)
    return registry().get(version.name, version.version), report


@step("decide", cached=False, retries=5)
def decide(challenger: ModelVersion, report: GateReport, rationale: Rationale) -> Decision:
    """Promote a challenger whose gates are all passed, or reject it; the grounds are written down.

    A version that people took out of production passes no more: the same release comes from the
    same labels again.
    """
    store = registry()
    undone = store.history(challenger.name).taken_back(challenger.version)
    if undone:
        how, who = undone.decision.outcome.value.replace("_", " "), undone.decision.who
        reason = (
            f"{how} by {who} at {undone.at:%Y-%m-%d %H:%M} UTC, which only foveal promote undoes"
        )
        rationale = replace(
            rationale,
            reasons=(": ".join((reason, *undone.decision.reasons[:1])), *rationale.reasons),
        )
    move = store.promote if report.passed and not undone else store.reject
    move(challenger.name, challenger.version, rationale)
    made = (entry.decision for entry in reversed(store.decisions(challenger.name)))
    return next(decision for decision in made if decision.version == challenger.version)
