"""The whole chain: optimize → benchmark → package → register → batch inference → drift report.

    release(ReleaseConfig(name="digits", model=…, data=…))

Every step is a task of `flows.tasks.components`, cached by the content of its inputs: a rerun does
only what changed, and a crashed run resumes.
"""

from __future__ import annotations

from dataclasses import replace

from components.backends.yolo import require_ultralytics
from components.contracts import (
    BATCH,
    BenchmarkReport,
    Bundle,
    DriftReport,
    GateReport,
    InferenceRun,
    ModelVersion,
)
from components.datasets.classes import in_classes_of
from components.datasets.dataset import LabelledDataset, load_dataset
from components.targets import load_target
from flows.config.release import ReleaseConfig
from flows.reporting import publish
from flows.reporting.outcome import concluded
from flows.reporting.progress import note
from flows.reporting.summary import ReleaseSummary, Window
from flows.runtime import trusted_checkpoints as trust
from flows.runtime.settings import Settings
from flows.tasks import components as tasks
from flows.tasks.evaluation import evaluation
from flows.tasks.gates import decide_release
from flows.tasks.predict import Served
from flows.tasks.schedules import start_waiting
from flows.tasks.steps import Images, Split
from flows.tasks.stores import log_drift
from model_registry import DataFacts, Release


@concluded("release", "{config.name}")
def release(config: ReleaseConfig) -> ReleaseSummary:
    """Take a trained model to a registered, deployable, monitored version.

    Arguments:
        config: the model, the data, the target.

    Raises:
        FovealError: bad input, or no variant within the target's budget; nothing is registered.
    """
    require_ultralytics(config.model.path)
    data, target = config.data, load_target(config.target)
    validation = Split(data.labelled, data.validation_split)
    calibration = Split(data.labelled, data.calibration_split)
    golden = Split(data.labelled, data.golden_split)
    conditions = data.conditions or [data.validation_split]
    held_out = tuple(Split(data.labelled, name) for name in conditions)
    parts = {part.name: _load(part) for part in (validation, calibration, golden)}
    hashes = {name: part.sha256 for name, part in parts.items()}

    largest = max(config.benchmark.batch, data.golden_images, BATCH)
    source = tasks.open_model(config.model, calibration, data.calibration_images, largest)
    for part in (validation, golden, *held_out):
        in_classes_of(load_dataset(part.data, part.name, objects=False), source.spec.class_names)
    if config.model.trust_pickle:
        trust.remember(config.model.path)
    checks = tasks.check_baseline(source, config.model, validation, config.thresholds)
    overruled = tasks.require_baseline(checks, accept=config.accept_baseline)
    variants = tasks.optimize(source, target, calibration, data.calibration_images, largest)
    report = tasks.measure(variants, target, validation, config.benchmark)
    report = replace(report, reasons=(*report.reasons, *overruled))
    shape = tasks.shape_of_input(source, validation)
    publish.variants(report, shape)
    publish.plot(report)
    tasks.require_choice(report)

    details = {"datasets": hashes, "golden_split": golden.name}
    bundle = tasks.package(
        report, config.name, golden, data.golden_images, config.thresholds, details
    )
    chosen = report.of(report.chosen or "")
    served = Served(chosen.artifact, chosen.backend, target, config.name, config.thresholds)
    accepted = tuple(tasks.predict(tasks.images_of(split), served) for split in held_out)
    reference = tasks.build_reference(accepted, held_out, chosen.artifact)

    version = tasks.register(
        Release(
            config.name,
            report,
            bundle,
            reference,
            config.model.path,
            hashes,
            config.logged(),
            data_facts={name: _facts(part) for name, part in parts.items()},
            figures=evaluation(accepted, held_out, chosen.artifact),
        )
    )
    publish.variants(report, shape, version)
    served, gates = replace(served, label=f"{version.name}/{version.version}"), None
    if config.promote == "verified":
        version, gates = decide_release(version, served, bundle.folder, golden)
        start_waiting(version.name)

    run, drift, page = None, None, ""
    if data.images:
        run = tasks.predict(Images(data.images), served)
        drift = tasks.report_drift(run, reference)
        page = log_drift(version, drift, drift.html.parent.name)
        publish.drift(drift, version, page, run)
    done = replace(_conclude(version, report, bundle, gates, run, drift), input_shape=shape)
    note(done.remarks)
    publish.summary(done, version, page)
    return done


def _load(part: Split) -> LabelledDataset:
    """Load a split, and tell people what is to be known of its labels."""
    found = load_dataset(part.data, part.name)
    note(found.remarks, part.name)
    return found


def _facts(part: LabelledDataset) -> DataFacts:
    """Return the facts of a split that MLflow shows."""
    labels = sum(image.truth.count for image in part.images)
    return DataFacts(str(part.root.resolve()), len(part.images), labels, part.class_names)


def _conclude(
    version: ModelVersion,
    report: BenchmarkReport,
    bundle: Bundle,
    gates: GateReport | None,
    run: InferenceRun | None,
    drift: DriftReport | None,
) -> ReleaseSummary:
    """Put what a person opens into one folder, and say where it is."""
    parts = {"bundle": bundle.folder, bundle.archive.name: bundle.archive}
    if run and drift:
        parts |= {"predictions": run.folder, "drift": drift.html.parent}
    place = Settings.from_environment().releases / version.name / str(version.version)
    folder = tasks.keep(place, parts)
    window = Window.of(run, drift, folder) if run and drift else None
    return ReleaseSummary.of(
        version, report, gates, window, folder=folder, archive=folder / bundle.archive.name
    )
