"""Description of a release: its identity, and its numbers as flat metrics, parameters and tags."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from components.backends import sha256_model
from components.contracts import BenchmarkReport, Bundle, Measurement, dump
from components.errors import BudgetError, BundleError, ConfigError, RegistryError
from components.files import sha256_file, sha256_json

# beside the model NAME, MLflow holds its decision record as NAME.decisions
RECORD_SUFFIX = ".decisions"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# what MLflow refuses in the key of a metric or a parameter
KEY_CHARACTERS = re.compile(r"[^\w\-. /]", re.ASCII)

SESSION_METRICS = frozenset(  # they depend on the machine and on the moment
    {
        "p50_ms",
        "p50_low_ms",
        "p50_high_ms",
        "p95_ms",
        "throughput_per_s",
        "peak_rss_mb",
        "noise_floor",
    }
)
OWN_BASELINE_METRICS = frozenset({"speedup", "speedup_low", "speedup_high", "accuracy_drop"})
# roles of the data that accuracy is measured on, where no parameter names it
_VALIDATION = ("validation", "val")


@dataclass(frozen=True)
class DataFacts:
    """Facts of a dataset that MLflow shows.

    Arguments:
        location: where it is: a path or a URL.
        images: how many it holds.
        objects: how many labels these have.
        class_names: in the order of class ids.
    """

    location: str
    images: int
    objects: int
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Release:
    """Everything that one version of a registered model consists of.

    Arguments:
        name: of the registered model and its experiment: letters, digits, ``-``, ``_``, ``.``.
        report: the benchmark that chose the variant.
        bundle: the deployable folder and zip of the chosen variant.
        reference: Parquet file that drift is measured against, or None.
        source: the model file that came in, from which training can go on, or None.
        dataset_hashes: role → sha256 of the data, for the roles validation, calibration, golden, …
        parameters: how the release was made; nested mappings become dotted names.
        description: the model card as Markdown; built from the report when None.
        tags: the user's own, set on the version.
        data_facts: role → what is known of that data, for the same roles.
        figures: folder of pictures of an evaluation, or None.

    Raises:
        ConfigError: the name is not usable.
    """

    name: str
    report: BenchmarkReport
    bundle: Bundle
    reference: Path | None = None
    source: Path | None = None
    dataset_hashes: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    data_facts: Mapping[str, DataFacts] = field(default_factory=dict)
    figures: Path | None = None

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def chosen(self) -> Measurement:
        """The measurement of the variant that ships.

        Raises:
            BudgetError: the report chose none.
        """
        if self.report.chosen is None:
            raise BudgetError(
                "a benchmark that chose a variant",
                found=f"none chosen for target {self.report.target.name}: "
                f"{'; '.join(self.report.reasons)}",
                hint="relax the target's budget or add precisions",
            )
        return self.report.of(self.report.chosen)

    @property
    def key(self) -> str:
        """Identity: the same bundle with the same benchmark is the same release."""
        return sha256_json({"bundle": self.bundle.sha256, "report": dump(self.report)})


def check_name(name: str) -> str:
    """A model's name, if it is safe in URLs, paths and filters.

    Raises:
        ConfigError: it is not.
    """
    if not _NAME.fullmatch(name) or name.endswith(RECORD_SUFFIX):
        raise ConfigError(
            "a model name of up to 100 letters, digits, '-', '_' and '.', starting with a letter "
            "or a digit"
            f" and not ending in {RECORD_SUFFIX}",
            found=repr(name),
            hint="choose another name",
        )
    return name


def check_files(release: Release) -> None:
    """Make sure that what is to be logged is there and is what it claims to be.

    Raises:
        RegistryError: the reference file is missing.
        BundleError: the bundle is missing or is not the one that was packed.
    """
    bundle = release.bundle
    if not bundle.folder.is_dir() or not bundle.archive.is_file():
        raise BundleError(
            "a bundle with its folder and its zip",
            found=f"not both of {bundle.folder} and {bundle.archive}",
            hint="package the model again",
        )
    if (found := sha256_file(bundle.archive)) != bundle.sha256:
        raise BundleError(
            f"a bundle with sha256 {bundle.sha256}",
            found=f"{bundle.archive} with {found}",
            hint="package it again",
        )
    if release.reference is not None and not release.reference.is_file():
        raise RegistryError(
            "a Parquet file as drift reference",
            found=f"nothing at {release.reference}",
            hint="build the reference first, or release without one",
        )


def metrics_of(measurement: Measurement) -> dict[str, float]:
    """A measurement's numbers by name; one that was not measured is absent, never zero."""
    latency = measurement.latency
    values: dict[str, float | None] = {
        "p50_ms": latency.p50_ms,
        "p50_low_ms": latency.p50_low_ms,
        "p50_high_ms": latency.p50_high_ms,
        "p95_ms": latency.p95_ms,
        "throughput_per_s": measurement.throughput_per_s,
        "peak_rss_mb": measurement.peak_rss_mb,
        "size_mb": measurement.size_mb,
        **measurement.accuracy,
    }
    if measurement.speedup is not None:
        values |= dict(
            zip(("speedup", "speedup_low", "speedup_high"), measurement.speedup, strict=True)
        )
    return {
        KEY_CHARACTERS.sub("_", name): float(value)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }


def release_metrics(release: Release) -> dict[str, float]:
    """The chosen variant's metrics, and how it stands against the baseline."""
    report, values = release.report, metrics_of(release.chosen)
    before = report.of(report.baseline).accuracy.get(report.metric)
    after = release.chosen.accuracy.get(report.metric)
    if before is not None and after is not None:
        values["accuracy_drop"] = before - after
    if report.noise_floor is not None:
        values["noise_floor"] = report.noise_floor
    return values


def params_of(measurement: Measurement) -> dict[str, str]:
    """Return the parameters in which a variant differs from others."""
    artifact = measurement.artifact
    return {
        "variant": measurement.variant,
        "backend": measurement.backend,
        "precision": artifact.precision.value,
        "format": artifact.format.value,
        "passes": " → ".join(record.name for record in artifact.history) or "none",
        "input_size": "×".join(map(str, artifact.spec.input_size)),
        "accuracy_images": str(measurement.images),
        "throughput_batch": str(measurement.batch),
    }


def release_params(release: Release) -> dict[str, str]:
    """Return the variant's parameters, the target's, and the user's that do not clash with them."""
    target, spec = release.report.target, release.chosen.artifact.spec
    facts = {
        "target": target.name,
        "device": target.device,
        "threads": str(target.threads),
        "task": spec.task,
        "classes": str(len(spec.class_names)),
        "metric": release.report.metric,
    }
    return {**flatten(release.parameters), **facts, **params_of(release.chosen)}


def validation_role(params: Mapping[str, str], roles: Iterable[str]) -> str:
    """The role of the data that accuracy was measured on; empty where it is not known.

    Arguments:
        params: of a release's run, flat.
        roles: of the data sets whose hashes are known.
    """
    known = set(roles)
    named = (params.get("data.validation_split"), *_VALIDATION)
    return next((role for role in named if role in known), "")


def flatten(parameters: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested parameters as dotted names, e.g. ``{"a": {"b": 1}}`` → ``{"a.b": "1"}``."""
    flat: dict[str, str] = {}
    for key, value in parameters.items():
        name = prefix + KEY_CHARACTERS.sub("_", str(key))
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = str(value)
    return flat


def version_tags(release: Release) -> dict[str, str]:
    """Return the tags to filter versions by; all else is a parameter of the version's run.

    Raises:
        ConfigError: the user's tags contain one of these.
    """
    tags = {
        "release_key": release.key,
        "bundle_sha256": release.bundle.sha256,
        "target": release.report.target.name,
        "variant": release.chosen.variant,
        "task": release.chosen.artifact.spec.task,
    }
    if clash := sorted(tags.keys() & release.tags.keys()):
        raise ConfigError(
            "tags of your own", found=f"{', '.join(clash)}, which Foveal sets", hint="rename them"
        )
    return {**release.tags, **tags}


def file_hashes(release: Release) -> dict[str, str]:
    """Role → sha256 of the files and the data that a version consists of.

    The files are there: `check_files` has seen them.
    """
    hashes = {
        **release.dataset_hashes,
        "model": release.chosen.artifact.sha256,
        "bundle": release.bundle.sha256,
    }
    if release.reference is not None:
        hashes["reference"] = sha256_file(release.reference)
    if release.source is not None:
        hashes["source"] = sha256_model(release.source)
    return hashes


def run_tags(release: Release) -> dict[str, str]:
    """Return the machine and versions of the measurement, and what ties runs to their release."""
    environment = {
        f"environment.{key}": str(value) for key, value in release.report.environment.items()
    }
    return {
        **environment,
        "release_key": release.key,
        "target": release.report.target.name,
        "measured_on_host": str(release.report.target.measured_on_host).lower(),
        "foveal_version": foveal_version(),
    }


def verdict_tags(measurement: Measurement) -> dict[str, str]:
    """Limit → verdict, e.g. ``{"verdict.p95_ms": "pass"}``."""
    return {f"verdict.{check.name}": check.verdict.value for check in measurement.checks}


def foveal_version() -> str:
    """Foveal's installed version."""
    try:
        return metadata.version("foveal")
    except metadata.PackageNotFoundError:
        return "not installed"
