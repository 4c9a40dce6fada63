"""Every component as a reusable Prefect task: one call each, cached by content where worth it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.benchmark.plan import BenchmarkSettings
from components.contracts import (
    BenchmarkReport,
    Bundle,
    Check,
    DriftDecision,
    DriftReport,
    Fit,
    InferenceRun,
    LabelledImage,
    ModelArtifact,
    ModelVersion,
    Prediction,
    Target,
    Verdict,
    dump,
)
from components.datasets.dataset import load_dataset
from components.errors import BaselineError, BudgetError
from components.files import replacing, write_json
from components.images.names import local_uri
from components.images.reading import image_size, read_image
from components.images.sources import ImageSource, list_images
from components.vision import task_for
from flows.config.release import FitInput, ModelInput, Thresholds
from flows.reporting.progress import advance, ask
from flows.runtime.settings import Settings
from flows.tasks.predict import Served
from flows.tasks.steps import Images, Split, step, working_folder
from flows.tasks.stores import registry
from model_registry import RELEASE, Rationale, Release

if TYPE_CHECKING:
    from components.optimize import Fitting, ModelOptions
    from components.vision.input_shape import InputShape

_SIZES_READ = 1000  # images whose headers are read for the shape of the input


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


@step("drift report")
def report_drift(run: InferenceRun, reference: Path) -> DriftReport:
    """Decide whether a window drifted and show why, by Evidently's report within our own page."""
    from components.monitoring import assess, write_report

    decision: DriftDecision = assess(run, reference)
    return write_report(
        run, reference, decision, working_folder(), workspace=Settings.from_environment().evidently
    )


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
