"""Scenes with the shipped model's predictions, by the photograph behind, to draw windows from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from components.contracts import InferenceRun, Target
from components.datasets.scenes import compose_scene, digits_of, photograph_count
from components.images.corruptions import corrupt
from components.images.reading import read_image
from components.images.sources import ImageSource, list_images
from components.monitoring.drift.tables import HELD_OUT, DriftTable, joined, read_window
from components.monitoring.drift.tolerance import learn_tolerances
from components.optimize.opening.source import ModelOptions, open_model
from components.targets import load_target
from flows.config.demo import MODEL
from flows.config.release import Thresholds
from flows.tasks.calibrate import Predict
from flows.tasks.predict import Served

PHOTOGRAPHS = photograph_count()
BATCHES, BATCH_IMAGES = 25, 250  # that have taught a reference
CONCENTRATION = 5.0  # of the mixes of photographs in them


def shipped(folder: Path) -> Predict:
    """Batch inference with the shipped detector, FP32 on onnxruntime."""
    artifact = open_model(MODEL, ModelOptions(trust_pickle=True), workdir=folder / "model")
    target: Target = load_target("workstation")
    return Served(artifact, "onnxruntime", target, "digits/1", Thresholds()).run


def write_scenes(
    folder: Path, split: str, count: int, seed: int, photographs: tuple[int, ...] | None = None
) -> Path:
    """Compose scenes over some of the photographs as JPEG files; returns the folder."""
    folder.mkdir(parents=True)
    rng, pool = np.random.default_rng([seed, *(photographs or ())]), digits_of(split, 0)
    for number in range(count):
        _write(folder / f"{number:05d}.jpg", compose_scene(pool, rng, photographs=photographs)[0])
    return folder


def _write(path: Path, image: npt.NDArray[np.uint8]) -> None:
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95])


def predicted(predict: Predict, folder: Path) -> InferenceRun:
    """Run the model over a folder of scenes."""
    return predict(list(list_images(folder)), folder.with_name(f"{folder.name}-run"))


def damaged(folder: Path, sources: Sequence[ImageSource], kind: str, severity: int) -> Path:
    """Write damaged copies without further loss; returns the folder."""
    folder.mkdir(parents=True)
    for number, source in enumerate(sources):
        image = corrupt(
            read_image(source.uri), kind, severity, np.random.default_rng([number, severity])
        )
        cv2.imwrite(str(folder / f"{number:05d}.png"), image)
    return folder


def taught(predict: Predict, held_out: DriftTable, folder: Path, seed: int) -> DriftTable:
    """Return a reference with limits learnt from accepted batches of other scenes.

    Each batch has its own mix of photographs.
    """
    folder.mkdir(parents=True)
    rng, pool = np.random.default_rng([seed, BATCHES]), digits_of("production", 0)
    for batch in range(BATCHES):
        shares = rng.dirichlet(np.full(PHOTOGRAPHS, CONCENTRATION))
        for number, photograph in enumerate(
            rng.choice(PHOTOGRAPHS, BATCH_IMAGES, p=shares).tolist()
        ):
            image = compose_scene(pool, rng, photographs=(photograph,))[0]
            _write(folder / f"{batch:02d}-{number:05d}.jpg", image)
    rows = read_window(predicted(predict, folder))
    batches = [
        held_out,
        *(rows.rows(slice(k, k + BATCH_IMAGES)) for k in range(0, rows.samples, BATCH_IMAGES)),
    ]
    return replace(
        joined(batches), tolerances={HELD_OUT: learn_tolerances(batches, minimum_values=20)}
    )


class Mixture:
    """Windows among which the share of each photograph may vary, as the places of a day's work do.

    Arguments:
        tables: rows of the scenes over each photograph.
        concentration: of the Dirichlet distribution of the shares; None keeps them equal. 5 gives
            each of 11 photographs a share of 9 ± 4 %.
    """

    def __init__(self, tables: list[DriftTable], concentration: float | None) -> None:
        self._tables, self._concentration = tables, concentration

    def __call__(self, images: int, rng: np.random.Generator) -> DriftTable:
        """Draw a window of that many images, in random order."""
        kinds = len(self._tables)
        shares = np.full(kinds, 1 / kinds)
        if self._concentration is not None:
            shares = rng.dirichlet(np.full(kinds, self._concentration))
        counts = rng.multinomial(images, shares)
        parts = [
            table.rows(_rows(rng, table.samples, n))
            for table, n in zip(self._tables, counts, strict=True)
        ]
        window = joined(parts)
        return window.rows(rng.permutation(images))


def scenes_by_photograph(
    predict: Predict, folder: Path, split: str, each: int, seed: int
) -> list[DriftTable]:
    """So many scenes over each photograph, predicted."""
    folders = [
        write_scenes(folder / f"{k:02d}", split, each, seed, (k,)) for k in range(PHOTOGRAPHS)
    ]
    return [read_window(predicted(predict, one)) for one in folders]


def _rows(rng: np.random.Generator, rows: int, wanted: int) -> npt.NDArray[Any]:
    return rng.choice(rows, wanted, replace=wanted > rows)
