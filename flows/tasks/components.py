"""Every component as a reusable Prefect task: one call each, cached by content where worth it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.benchmark.plan import BenchmarkSettings
from components.contracts import (
    BenchmarkReport,
    Bundle,
    Check,
    Decision,
    DriftDecision,
    DriftReport,
    Fit,
    GateReport,
    InferenceRun,
    LabelledImage,
    LoadedModel,
    ModelArtifact,
    ModelVersion,
    Prediction,
    Target,
    Verdict,
    dump,
)
from components.datasets.dataset import load_dataset
from components.errors import BaselineError, BudgetError, RegistryError
from components.files import is_whole, replacing, sha256_json, sha256_path, write_json
from components.images.names import local_uri
from components.images.reading import image_size, read_image
from components.images.sources import ImageSource, list_images
from components.monitoring import MonitoringStore
from components.vision import task_for
from flows.config.release import FitInput, ModelInput, Thresholds
from flows.reporting.progress import advance, ask
from flows.runtime.settings import Settings
from flows.tasks.predict import Served
from flows.tasks.steps import Images, Split, step, working_folder
from model_registry import RELEASE, Rationale, Registry, Release

if TYPE_CHECKING:
    from components.optimize import Fitting, ModelOptions
    from components.vision.input_shape import InputShape

_SIZES_READ = 1000  # images whose headers are read for the shape of the input
_POOLED_S = 24 * 3600  # how long a pooled reference is kept: a look by hand may be at work with it


@step("open model")
def open_model(
    model: ModelInput, calibration: Split, calibration_images: int, batch: int
) -> ModelArtifact:
    """Bring an outside model to FP32 ONNX, pre-processing inside, proved on the user's images."""
    from components.optimize import open_model as open_source

    dataset = load_dataset(calibration.data, calibration.name)
    return open_source(
        model.path,
        options_of(model),
        workdir=working_folder(),
        images=(read_image(image.path) for image in evenly(dataset.images, calibration_images)),
        batch=batch,
    )


def options_of(model: ModelInput) -> ModelOptions:
    """Convert a flow's parameters of a model to the options of `components.optimize`."""
    from components.optimize import ModelOptions, Normalisation

    given = model.normalisation
    return ModelOptions(
        task=model.task,
        class_names=model.class_names,
        image_size=model.input_size,
        fit=fitting(model),
        preprocessing=model.preprocessing,
        normalisation=Normalisation(given.mean, given.std) if given else None,
        output=model.output,
        end_to_end=model.end_to_end,
        trust_pickle=model.trust_pickle,
    )


def fitting(model: ModelInput) -> Fit | Fitting | None:
    """Convert the parameters of image fitting to those of `components.optimize`."""
    from components.optimize import Fitting

    fit = model.fit
    if not isinstance(fit, FitInput):
        return fit
    if isinstance(fit.resize, tuple) and fit.resize == model.input_size:  # nothing is left to crop
        return Fitting(Fit.STRETCH, None, fit.interpolation)
    return Fitting(Fit.CENTER_CROP, fit.resize, fit.interpolation, fit.crop_pct)


@step("check baseline")
def check_baseline(
    source: ModelArtifact, model: ModelInput, validation: Split, thresholds: Thresholds
) -> tuple[Check, ...]:
    """Compare the model as given with chance, and with its own framework where that is here."""
    from components.benchmark import check_baseline as check
    from components.datasets.classes import in_classes_of
    from components.optimize import framework_predictions

    spec = source.spec
    dataset = load_dataset(validation.data, validation.name, task=spec.task)
    images = in_classes_of(dataset, spec.class_names).images
    mixed = [images[k] for k in np.random.default_rng(0).permutation(len(images))]
    limits = thresholds.model_dump()

    def framework(some: Sequence[LabelledImage]) -> list[Prediction] | None:
        pixels = [read_image(image.path) for image in some]
        return framework_predictions(model.path, source.spec, pixels, options_of(model), **limits)

    return check(source, mixed, framework=framework, **limits)


def require_baseline(checks: tuple[Check, ...], *, accept: bool) -> tuple[str, ...]:
    """End a release whose model is broken as it was given.

    Returns:
        What was accepted nevertheless, and what the images were too few for, one line each.

    Raises:
        BaselineError: a check failed, and `accept` is false.
    """
    wanted = {
        "chance": "a model that is better than chance",
        "framework": "a model that gives the predictions of its own framework",
    }
    failed = [check for check in checks if check.verdict is Verdict.FAIL]
    if failed and not accept:
        raise BaselineError(
            " and ".join(wanted[check.name] for check in failed),
            found="; ".join(check.reason for check in failed),
            hint="check the head (task, output, end_to_end), the normalisation, the order of the "
            "class names and the "
            "labels, or go on all the same with --accept-baseline (accept_baseline: true)",
        )
    open_ = [check for check in checks if check.verdict is Verdict.NOT_EVALUATED]
    unknown = tuple(
        f"not known whether it is {wanted[check.name]}: {check.reason}" for check in open_
    )
    return (*(f"accepted as given: {check.reason}" for check in failed), *unknown)


@step("optimize")
def optimize(
    source: ModelArtifact, target: Target, calibration: Split, calibration_images: int, batch: int
) -> tuple[ModelArtifact, ...]:
    """Make the variants of the target's recipe, INT8 ranges learned on the user's own images."""
    from components.optimize import PassContext, make_variants, require_sound

    dataset = load_dataset(calibration.data, calibration.name)
    chosen = evenly(dataset.images, calibration_images)
    task = task_for(source.spec)
    inputs = []
    for done, image in enumerate(chosen, start=1):
        inputs.append(task.preprocess(read_image(image.path))[0])
        advance("reading calibration images", done, len(chosen))
    require_sound(source, inputs)
    context = PassContext(
        working_folder(),
        calibration=inputs,
        calibration_sha256=dataset.sha256,
        trust_pickle=False,
        batch=batch,
    )
    return make_variants(source, target.precisions, context)


@step("benchmark", sure=lambda report: not _noisy(report))
def benchmark(
    variants: tuple[ModelArtifact, ...],
    target: Target,
    validation: Split,
    settings: BenchmarkSettings,
) -> BenchmarkReport:
    """Measure every variant on every backend of the target in one interleaved run, and choose."""
    from components.benchmark import run_benchmark

    report = run_benchmark(
        variants,
        target=target,
        dataset=load_dataset(validation.data, validation.name, task=variants[0].spec.task),
        settings=settings,
        progress=advance,
    )
    write_json(working_folder() / "benchmark.json", dump(report))
    return report


def _noisy(report: BenchmarkReport) -> bool:
    from components.benchmark import is_busy

    return is_busy(report.noise_floor)


def measure(
    variants: tuple[ModelArtifact, ...],
    target: Target,
    validation: Split,
    settings: BenchmarkSettings,
) -> BenchmarkReport:
    """Measure every variant and choose; a person, if any, decides on a busy machine's numbers."""
    effort = settings.model_copy(update={"accept_noise": False})  # measuring does not depend on it

    def run() -> BenchmarkReport:
        return benchmark(variants, target, validation, effort)

    return settle(run(), run, accept_noise=settings.accept_noise)


def settle(
    report: BenchmarkReport, again: Callable[[], BenchmarkReport], *, accept_noise: bool
) -> BenchmarkReport:
    """Have a person decide on a busy machine's numbers; with nobody to ask, the report stays.

    Arguments:
        report: of the benchmark.
        again: runs it again.
        accept_noise: choose from these numbers without asking.
    """
    from components.benchmark import choose_again

    while _noisy(report) and not accept_noise:
        wanted = ask(
            f"busy machine: a noise floor of ±{100 * (report.noise_floor or 0):.0f} %; measure "
            "again?"
        )
        if wanted is None:
            return report
        report, accept_noise = (again(), False) if wanted else (report, True)
    return choose_again(report, accept_noise=accept_noise)


def require_choice(report: BenchmarkReport) -> None:
    """Stop a release whose target no variant meets.

    Raises:
        BudgetError: says which limit each variant misses, and by how much.
    """
    if report.chosen is None:
        raise BudgetError(
            f"a variant within the budget of target {report.target.name}",
            found="; ".join(report.reasons),
            hint="choose another target, raise its limits, or train a smaller model",
        )


@step("package")
def package(
    report: BenchmarkReport,
    name: str,
    golden: Split,
    golden_images: int,
    thresholds: Thresholds,
    details: Mapping[str, Any],
) -> Bundle:
    """Pack the chosen variant, byte for byte, with its golden set and a runner."""
    from components.package import write_bundle

    dataset = load_dataset(golden.data, golden.name)
    images = [image.path for image in evenly(showing_something(dataset.images), golden_images)]
    return write_bundle(
        report,
        working_folder(),
        name=name,
        golden=images,
        details={**details, **thresholds.model_dump()},
    )


@step("batch inference", retries=3)
def predict(images: Images, served: Served) -> InferenceRun:
    """Run a model over images: one Parquet row an image, one a detection; a killed run resumes."""
    sources = images.listed or list_images(images.source)
    return served.run(
        sources, working_folder(), lambda done, total: advance("batch inference", done, total)
    )


@step("build reference")
def build_reference(
    runs: tuple[InferenceRun, ...], held_out: tuple[Split, ...], artifact: ModelArtifact
) -> Path:
    """Keep what drift is measured against, by condition, and how right the model was on it."""
    from components.monitoring import build_reference as build
    from components.monitoring.alerts.health import label_reference

    task = artifact.spec.task
    datasets = [
        load_dataset(split.data, split.name, task=task, objects=False) for split in held_out
    ]
    labels = label_reference(list(zip(runs, datasets, strict=True)), artifact.spec)
    conditions = [split.name for split in held_out]
    return build(runs, working_folder() / "reference.parquet", conditions=conditions, labels=labels)


@step("register", cached=False, retries=5)
def register(release: Release) -> ModelVersion:
    """Register a version with its runs, plots, bundle and reference as `challenger`; idempotent."""
    return registry().log_release(release)


@step("promote", cached=False, retries=5)
def promote(version: ModelVersion) -> ModelVersion:
    """Make a name's first version the champion by the rule `promote: verified`, and record it.

    One that was decided on before, e.g. rolled back, stays what it is when its release is run
    again. So does one whose name has lost its champion to people: who is the next one is for them
    to say.
    """
    store = registry()
    record = store.history(version.name)
    if record.last_about(version.version) or record.last_change():
        return store.get(version.name, version.version)
    rule = (
        "promote: verified: a variant meets the target's budget and the bundle reproduced its "
        "golden set"
    )
    reasons = (rule, "no version of its name was in production before")
    return store.promote(
        version.name, version.version, Rationale(RELEASE, Settings.from_environment().user, reasons)
    )


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


@step("fetch model", cached=False, retries=5)
def fetch(name: str, version: str, output: Path) -> LoadedModel:
    """Fetch a registered version: copies of its bundle and of its drift reference."""
    store = registry()
    found = store.get(name, version)
    return load_model(store, found, output / "bundle", store.download_reference(found, output))


@step("stored run", cached=False, retries=5)
def stored_run(version: ModelVersion, start: datetime | None, end: datetime | None) -> InferenceRun:
    """Export what a version predicted in a time range from the monitoring store."""
    from components.monitoring.store.stored import stored_run as export

    asked = sha256_json([version.name, version.version, str(start), str(end)])
    output = Settings.from_environment().steps / f"stored-run-{asked[:24]}"
    return export(store(), version.name, version.version, output, start=start, end=end)


@step("pool reference", cached=False, retries=5)
def pool_reference(held_out: Path, version: ModelVersion, window: str = "") -> Path:
    """Pool the held-out reference and the windows accepted since, except the one of that key."""
    from components.monitoring.store.reference import pool_reference as pool
    from components.monitoring.store.stored import accepted_batches, evaluated_windows

    name, number = version.name, version.version
    earlier = [
        past
        for past in evaluated_windows(store(), name, number)
        if past.accepted and past.key != window
    ]
    if not earlier:
        return held_out
    made_of = sha256_json([sha256_path(held_out), [past.key for past in earlier]])
    steps, prefix = Settings.from_environment().steps, f"pooled-reference-{name}-{number}-"
    pooled = steps / f"{prefix}{made_of[:24]}.parquet"
    if not is_whole(pooled):
        pool(held_out, accepted_batches(store(), name, number, earlier), pooled)
        outdated = time.time() - _POOLED_S
        for other in steps.glob(f"{prefix}*.parquet"):
            if other.stat().st_mtime < outdated:
                other.unlink(missing_ok=True)
    return pooled


@step("drift report")
def report_drift(run: InferenceRun, reference: Path) -> DriftReport:
    """Decide whether a window drifted and show why, by Evidently's report within our own page."""
    from components.monitoring import assess, write_report

    decision: DriftDecision = assess(run, reference)
    return write_report(
        run, reference, decision, working_folder(), workspace=Settings.from_environment().evidently
    )


@step("log drift", cached=False, retries=5)
def log_drift(version: ModelVersion, report: DriftReport, window: str) -> str:
    """Log decision and report with the version; give its MLflow page (`Registry.log_drift`)."""
    return registry().log_drift(version, report, window)


def load_model(
    store: Registry, version: ModelVersion, bundle: Path, reference: Path | None
) -> LoadedModel:
    """Copy a version's bundle to the folder `bundle`; join it with the reference, if any."""
    from components.package import read_manifest

    folder = store.download_bundle(version, bundle)
    return LoadedModel(version, folder, reference, read_manifest(folder).model.spec)


def registry() -> Registry:
    """The model registry that the environment names."""
    return Settings.from_environment().registry()


def store() -> MonitoringStore:
    """The monitoring store that the environment names."""
    return MonitoringStore(Settings.from_environment().store)


def shape_of_input(artifact: ModelArtifact, validation: Split) -> InputShape | None:
    """Evaluate what the input shape costs on validation images, and which shape they suggest."""
    from components.vision.input_shape import input_shape

    images = evenly(
        load_dataset(validation.data, validation.name, objects=False).images, _SIZES_READ
    )
    return input_shape([image_size(image.path)[::-1] for image in images], artifact.spec)


def images_of(split: Split) -> Images:
    """The images of a labelled split, as something to run on."""
    dataset = load_dataset(split.data, split.name, objects=False)
    sources = (
        ImageSource(image.image_id, local_uri(str(image.path.resolve())))
        for image in dataset.images
    )
    return Images(f"{split.data}, {split.name}", tuple(sources))


def require_reference(reference: Path | None, version: ModelVersion) -> Path:
    """The reference, or the reason why drift cannot be measured.

    Raises:
        RegistryError: the version was logged without one.
    """
    if reference is None:
        raise RegistryError(
            f"a drift reference with {version.name}/{version.version}",
            found="none",
            hint="release the model again",
        )
    return reference


def showing_something(images: tuple[LabelledImage, ...]) -> tuple[LabelledImage, ...]:
    """Select images that show an object, or all if none does: on empty ones all detectors agree."""
    return tuple(image for image in images if image.truth.count) or images


def evenly(items: tuple[Any, ...], count: int) -> list[Any]:
    """At most `count` of the items, spread evenly over their order, so that none is favoured."""
    if len(items) <= count:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, count).round().astype(int)]


def keep(folder: Path, parts: Mapping[str, Path]) -> Path:
    """Copy finished files and folders to a place for people: name → file or folder."""
    with replacing(folder) as aside:
        aside.mkdir(parents=True)
        for name, path in parts.items():
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, aside / name)
    return folder
