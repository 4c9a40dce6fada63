"""What MLflow runs when it loads a released version: the bundle's own runner, wherever MLflow is installed.

MLflow copies this file into the model and executes it on loading, so it must not import Foveal.

In: one column, of any name. A row is the path of an image file, or a whole encoded image (JPEG, PNG, …) as base64, with
or without a ``data:`` prefix. In process a row may also be the encoded bytes, or a (height, width, 3) uint8 BGR array:

    model.predict(["street.jpg", "yard.png"])
    model.predict(pandas.Series(list(batch)))          # (n, height, width, 3) uint8 BGR

Out: one row per image, in the same order. ``image`` is the path, or ``row N``; ``predictions`` is a list of objects,
best first, with class_id, class_name, confidence and, of detections, x1, y1, x2, y2 in pixels of the image; ``error``
says why there are none, or is None.

Paths are opened where the model runs: behind a server, its callers can have any image there read.
"""

from __future__ import annotations

import base64
import binascii
import runpy
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

_SIDES = ("x1", "y1", "x2", "y2")
_LONGEST_PATH = 4096  # characters; a longer string can only be base64
_SHOWN = 60  # characters of a bad row in its error


class BundleModel(PythonModel):  # type: ignore[misc]
    """A bundle behind MLflow's interface; one call at a time runs the model."""

    def load_context(self, context: Any) -> None:
        """Load the model of the bundle that MLflow has fetched."""
        folder = Path(context.artifacts["bundle"])
        # Executed, not imported: an import would leave a cache in the bundle, and a local store hands out its own copy.
        self._runner = runpy.run_path(str(folder / "run.py"), run_name="foveal_bundle")
        self._bundle = self._runner["Bundle"](folder)
        self._lock = threading.Lock()

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predict a column of images; one that cannot be read has an `error` and costs no other."""
        images = list(model_input.iloc[:, 0] if isinstance(model_input, pd.DataFrame) else model_input)
        rows: list[dict[str, Any]] = [
            {"image": _name(image, k), "predictions": [], "error": None} for k, image in enumerate(images)
        ]
        step = self._bundle.config["batch_size"]
        for start in range(0, len(rows), step):
            self._predict_batch(images[start : start + step], rows[start : start + step])
        # As objects: pandas would make None a NaN among strings, which is no JSON.
        return pd.DataFrame(rows, columns=["image", "predictions", "error"], dtype=object)

    def _predict_batch(self, images: Iterable[Any], rows: list[dict[str, Any]]) -> None:
        ready = []
        for row, image in zip(rows, images, strict=True):
            try:
                ready.append((row, *self._prepare(image)))
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"
        if not ready:
            return
        with self._lock:
            output = self._bundle.infer(np.stack([pixels for _, pixels, _ in ready]))[0]
            values = [np.array(value) for value in output]
        for (row, _, frame), value in zip(ready, values, strict=True):
            row["predictions"] = [_flat(item) for item in self._bundle.decode([value[None]], frame)]

    def _prepare(self, image: Any) -> tuple[Any, Any]:
        """The model's input of one row, and how the image was fitted."""
        if isinstance(image, np.ndarray):
            return self._fit(image)
        if isinstance(image, str | Path) and _is_file(image):
            return self._bundle.prepare(Path(image))  # type: ignore[no-any-return]
        with tempfile.NamedTemporaryFile(prefix="foveal-", suffix=".image") as file:
            file.write(_encoded(image))
            file.flush()
            return self._bundle.prepare(Path(file.name))  # type: ignore[no-any-return]

    def _fit(self, image: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"expected a (height, width, 3) uint8 BGR array, found {image.shape} {image.dtype}")
        height, width = self._bundle.spec["input_size"]
        fit, padding = self._bundle.spec["fit"], self._bundle.fitting["padding"]
        return self._runner["fit_image"](np.ascontiguousarray(image), fit, height, width, padding)  # type: ignore[no-any-return]


def _is_file(image: str | Path) -> bool:
    return len(str(image)) <= _LONGEST_PATH and "\0" not in str(image) and Path(image).is_file()


def _encoded(image: Any) -> bytes:
    """The encoded image of a row that is not a file."""
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    if not isinstance(image, str):
        raise TypeError(f"expected a path, an encoded image or an array, found {type(image).__name__}")
    text = image.partition(",")[2] if image.startswith("data:") else image
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise FileNotFoundError(f"neither an image file nor base64: {image[:_SHOWN]!r}") from error


def _name(image: Any, number: int) -> str:
    return str(image) if isinstance(image, str | Path) and _is_file(image) else f"row {number}"


def _flat(item: dict[str, Any]) -> dict[str, Any]:
    """A prediction with its box as four fields."""
    rest = {key: value for key, value in item.items() if key != "box"}
    return {**rest, **dict(zip(_SIDES, item.get("box", ()), strict=False))}


mlflow.models.set_model(BundleModel())
