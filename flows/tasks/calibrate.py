"""Measure a model's drift alarm on its own reference and, damaged, on its own images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from components.contracts import InferenceRun, ModelVersion
from components.errors import ConfigError
from components.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from components.images.reading import read_image
from components.images.sources import ImageSource, list_images
from components.monitoring import DriftPolicy, MonitoringStore
from components.monitoring.drift.calibration import (
    AlarmPower,
    AlarmRate,
    Damage,
    WindowDraws,
    draw_from,
    measure_nights,
    measure_power,
    split_false_alarms,
)
from components.monitoring.drift.tables import DriftTable, batch_table, read_reference, read_window
from components.monitoring.store.reference import pool_reference
from components.monitoring.store.stored import accepted_batches, evaluated_windows
from flows.reporting.progress import advance
from flows.reporting.summary import Calibration
from flows.runtime.settings import Settings
from flows.tasks.predict import open_registry, read_bundle, split_reference

SIZES = (50, 100, 200, 500, 1000)
DAMAGES = tuple((kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES)
CONTAMINATIONS = (1.0, 0.3, 0.1)
MAX_IMAGES = 150  # that are damaged in each of 30 ways
POWER_IMAGES = 200
MIN_NIGHTS = 2

Predict = Callable[[list[ImageSource], Path], InferenceRun]


def calibrate(
    model: str,
    images: str | None,
    *,
    windows: int,
    drift: DriftPolicy | None = None,
    sizes: Sequence[int] = (),
    damages: Sequence[tuple[str, int]] = DAMAGES,
) -> Calibration:
    """Measure false alarms and, where images are given, power.

    Windows are compared with what a night is compared with: the held-out images pooled with the
    accepted windows.

    Arguments:
        model: `NAME`, `NAME@alias` or `NAME/version`.
        images: ordinary images that the reference does not hold, or None.
        windows: to draw for each share of false alarms; a tenth of it for each figure of power.
        drift: the limits; None is the usual ones.
        sizes: images of a window; none is those of 50 to 1,000 that the reference is large enough
            for.
        damages: kinds and severities.

    Raises:
        FovealError: no such version, no reference, too small a reference, or no images.
    """
    registry = open_registry()
    version = registry.get(*split_reference(model))
    label, policy = f"{version.name}/{version.version}", drift or DriftPolicy()
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        from flows.tasks.stores import require_reference

        folder = Path(scratch)
        held_out = require_reference(registry.download_reference(version, folder), version)
        batches = _accepted(version)
        reference = read_reference(pool_reference(held_out, batches, folder / "pooled.parquet"))
        nights = _nights(held_out, batches, folder, policy) if len(batches) >= MIN_NIGHTS else None
        rates = _false_alarms(reference, windows, policy, sizes)
        power: tuple[AlarmPower, ...] = ()
        if images:
            served = read_bundle(registry.download_bundle(version, folder / "bundle"), label)
            ordinary, few = list_images(images), windows // 10
            draws = WindowDraws(POWER_IMAGES, few, policy)
            power = power_table(reference, ordinary, served.run, folder, draws, damages)
    return Calibration(label, reference.samples, len(batches), rates, nights, power, POWER_IMAGES)


def drift_settings(file: Path, model: str) -> DriftPolicy:
    """Return the drift policy of a model from a `foveal.yaml`.

    Arguments:
        file: the YAML file.
        model: `NAME`, `NAME@alias` or `NAME/version`.

    Raises:
        ConfigError: the file is none, or does not watch this model.
    """
    from flows.config.deployments import read_deployments

    name = split_reference(model)[0]
    watched = read_deployments(file, Settings.from_environment()).models
    for one in watched:
        if one.name == name:
            return one.drift
    raise ConfigError(
        f"{name} among the models of {file}", found=", ".join(one.name for one in watched)
    )


def _accepted(version: ModelVersion) -> list[tuple[str, Any]]:
    """The accepted windows of a version, as its nights pool them."""
    store = MonitoringStore(Settings.from_environment().store)
    return accepted_batches(
        store,
        version.name,
        version.version,
        evaluated_windows(store, version.name, version.version),
    )


def _nights(
    held_out: Path, batches: list[tuple[str, Any]], folder: Path, policy: DriftPolicy
) -> AlarmRate:
    """Each accepted window against the reference without it."""

    def pairs() -> Iterator[tuple[DriftTable, DriftTable]]:
        for k, batch in enumerate(batches):
            others = pool_reference(
                held_out, batches[:k] + batches[k + 1 :], folder / f"without-{k}.parquet"
            )
            reference = read_reference(others)
            yield reference, batch_table(batch[1], reference)

    total = len(batches)
    return measure_nights(
        pairs(), policy=policy, total=total, progress=lambda done, _: advance("nights", done, total)
    )


def _false_alarms(
    reference: DriftTable, windows: int, policy: DriftPolicy, sizes: Sequence[int]
) -> tuple[AlarmRate, ...]:
    """By window size, of windows drawn at random and of contiguous ones."""
    sizes = sizes or [size for size in SIZES if 2 * size <= reference.samples] or SIZES[:1]
    return tuple(
        split_false_alarms(
            reference,
            WindowDraws(size, windows, policy),
            contiguous=contiguous,
            progress=partial(advance, f"{'contiguous ' if contiguous else ''}windows of {size}"),
        )
        for size in sizes
        for contiguous in (False, True)
    )


def power_table(
    reference: DriftTable,
    sources: tuple[ImageSource, ...],
    predict: Predict,
    folder: Path,
    draws: WindowDraws,
    damages: Sequence[tuple[str, int]] = DAMAGES,
) -> tuple[AlarmPower, ...]:
    """Power for kinds and severities of damage, in all, 30 % and 10 % of the images of a window.

    Arguments:
        reference: what windows are compared with.
        sources: ordinary images; at most 150 are damaged, evenly spread.
        predict: runs the model over images and writes the run to a folder.
        folder: scratch space.
        draws: windows for each figure.
        damages: kinds and severities.
    """
    step = max(1, -(-len(sources) // MAX_IMAGES))
    chosen = list(sources[::step])
    clean = read_window(predict(chosen, folder / "clean"))
    found: list[AlarmPower] = []
    for number, (kind, severity) in enumerate(damages, start=1):
        advance("damaging images", number, len(damages))
        damaged = _damaged(chosen, kind, severity, folder / f"{kind}-{severity}")
        table = read_window(predict(damaged, folder / f"{kind}-{severity}-run"))
        found += [
            measure_power(
                reference, draw_from(clean), draw_from(table), Damage(kind, severity, share), draws
            )
            for share in CONTAMINATIONS
        ]
    return tuple(found)


def _damaged(
    sources: list[ImageSource], kind: str, severity: int, folder: Path
) -> list[ImageSource]:
    """Damaged copies, without further loss."""
    folder.mkdir(parents=True)
    made = []
    for number, source in enumerate(sources):
        path = folder / f"{number:05d}.png"
        image = corrupt(
            read_image(source.uri), kind, severity, np.random.default_rng([number, severity])
        )
        cv2.imwrite(str(path), image)
        made.append(ImageSource(path.name, str(path)))
    return made
