"""What MLflow runs on loading a released version: the bundle's own runner, wherever MLflow is.

MLflow copies this file into the model and executes it on loading, so it must not import Foveal.

In: images, each as the path of a file, as a whole encoded image (JPEG, PNG, …) in bytes or, as JSON
needs it, in base64 with or without a ``data:`` prefix, or as a (height, width, 3) uint8 BGR array.
One image, a list, an array of one kind of these, a (n, height, width, 3) array, a pandas Series, or
a DataFrame with one column or one called ``image``:

    model.predict("street.jpg")
    model.predict(["street.jpg", Path("yard.png").read_bytes()])
    model.predict(batch, params={"confidence": 0.5})        # (n, height, width, 3) uint8 BGR

Of detectors, the params ``confidence`` and ``iou`` take the place of the thresholds that the
version was released with.

Out: one row per image, in the same order. ``image`` is the path, or ``row N``; ``predictions`` is a
list of objects, best first, with class_id, class_name, confidence and, of detections, x1, y1, x2,
y2 in pixels of the image; ``error`` says why there are none, or is None.

Paths are opened where the model runs. Behind a server (``mlflow models serve``) they are refused,
as its callers could have any image there read, unless FOVEAL_SERVE_PATHS=1 is in the server's
environment; 0 refuses them in any process.
"""

from __future__ import annotations

import base64
import binascii
import copy
import os
import runpy
import sys
import tempfile
import threading
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

Row = dict[str, Any]  # an object of JSON
Pixels = npt.NDArray[np.uint8]
Fitted = tuple[Pixels, Any]  # the input of a model, and the bundle's frame of the image
_SIDES = ("x1", "y1", "x2", "y2")
_THRESHOLDS = ("confidence", "iou")
_COLUMN = "image"
_LONGEST_PATH = 4096  # characters; a longer string can only be base64
_LONGEST_NAME = 255  # characters of a row's name
_SHOWN = 60  # characters of a bad row in its error
_SERVERS = ("mlflow.pyfunc.scoring_server.app", "mlflow.pyfunc.scoring_server.stdin_server")


class BundleModel(PythonModel):  # type: ignore[misc]
    """A bundle behind MLflow's interface; one call at a time runs the model."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model of the bundle that MLflow has fetched."""
        folder = Path(context.artifacts["bundle"])
        # Executed, not imported: an import would leave a cache in the bundle, and a local store
        # hands out its own copy.
        self._runner = runpy.run_path(str(folder / "run.py"), run_name="foveal_bundle")
        self._bundle = self._runner["Bundle"](folder)
        self._lock = threading.Lock()

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Predict images; one that cannot be read has an `error` and costs no other.

        Raises:
            ValueError: the input is no table of images, or a threshold is none.
        """
        images, bundle = _images(model_input), self._with(params or {})
        rows: list[Row] = [
            {"image": _name(image, k), "predictions": [], "error": None}
            for k, image in enumerate(images)
        ]
        step = bundle.config["batch_size"]
        for start in range(0, len(rows), step):
            self._predict_batch(bundle, images[start : start + step], rows[start : start + step])
        # As objects: pandas would make None a NaN among strings, which is no JSON.
        return pd.DataFrame(rows, columns=["image", "predictions", "error"], dtype=object)

    def _with(self, params: Row) -> Any:
        """The bundle with the thresholds of a call."""
        asked = {name: float(params[name]) for name in _THRESHOLDS if params.get(name) is not None}
        for name, value in asked.items():
            if not 0 <= value <= 1:
                raise ValueError(f"expected {name} between 0 and 1, found {value:g}")
        bundle = copy.copy(self._bundle)
        bundle.config = {**self._bundle.config, **asked}
        return bundle

    def _predict_batch(self, bundle: Any, images: Iterable[object], rows: list[Row]) -> None:
        ready = []
        for row, image in zip(rows, images, strict=True):
            try:
                ready.append((row, *self._prepare(image)))
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"
        if not ready:
            return
        with self._lock:
            output = bundle.infer(np.stack([pixels for _, pixels, _ in ready]))[0]
            values = [np.array(value) for value in output]
        for (row, _, frame), value in zip(ready, values, strict=True):
            row["predictions"] = [_flat(item) for item in bundle.decode([value[None]], frame)]

    def _prepare(self, image: object) -> Fitted:
        """The model's input of one row, and how the image was fitted."""
        if isinstance(image, np.ndarray | list | tuple):
            return self._bundle.fit(np.ascontiguousarray(_pixels(image)))  # type: ignore[no-any-return]
        if isinstance(image, str | Path) and _may_be_path(image):
            if not _paths_allowed():
                raise PermissionError(
                    "expected the image as base64: this server opens no path, see "
                    "FOVEAL_SERVE_PATHS"
                )
            if _is_file(image):
                return self._bundle.prepare(Path(image))  # type: ignore[no-any-return]
            if isinstance(image, Path):
                raise FileNotFoundError(f"no image file at {str(image)[:_SHOWN]!r}")
        with tempfile.NamedTemporaryFile(prefix="foveal-", suffix=".image") as file:
            file.write(_encoded(image))
            file.flush()
            return self._bundle.prepare(Path(file.name))  # type: ignore[no-any-return]


def _images(given: Any) -> list[object]:
    """The images of a call, one an entry."""
    if isinstance(given, pd.DataFrame):
        given = given[_column(given.columns)] if len(given.columns) else []
    elif isinstance(given, Mapping):
        given = given[_column(given)]
    if isinstance(given, np.ndarray) and given.dtype.kind in "buif":
        return list(given) if given.ndim == 4 else [given]
    if isinstance(given, np.ndarray):
        return [_plain(item) for item in given.ravel()]
    if given is None or isinstance(given, str | bytes | bytearray | Path):
        return [given]
    rows = list(given)
    if rows and all(isinstance(row, list) for row in rows) and _is_rectangular(rows):
        # as JSON has arrays
        return _images(np.asarray(rows))
    return [_plain(row) for row in rows]


def _column(names: Iterable[Hashable]) -> Hashable:
    """The name of the column that holds the images."""
    known = list(names)
    if len(known) == 1 or _COLUMN in known:
        return _COLUMN if _COLUMN in known else known[0]
    raise ValueError(
        f"expected one column, or one that is called {_COLUMN}, found {', '.join(map(str, known))}"
    )


def _is_rectangular(rows: list[object]) -> bool:
    try:
        return np.asarray(rows).dtype.kind in "buif"
    except ValueError:
        return False


def _plain(item: object) -> object:
    """Return what an entry of JSON holds: a field of an object or row, or a value without axes."""
    if isinstance(item, Mapping):
        item = item[_column(item)]
    if isinstance(item, list) and len(item) == 1 and isinstance(item[0], str | bytes):
        item = item[0]
    return item.item() if isinstance(item, np.ndarray) and item.ndim == 0 else item


def _pixels(image: object) -> Pixels:
    """A (height, width, 3) uint8 array; integers of JSON are taken if they are such values.

    Raises:
        ValueError: it is something else.
    """
    array = np.asarray(image)
    if (
        array.dtype.kind in "iu"
        and array.dtype != np.uint8
        and array.size
        and 0 <= array.min()
        and array.max() <= 255
    ):
        array = array.astype(np.uint8)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ValueError(
            f"expected a (height, width, 3) uint8 BGR array, found {array.shape} {array.dtype}"
        )
    return array


def _paths_allowed() -> bool:
    """Tell whether files may be opened by name: not for a server's callers, unless it says so."""
    if said := os.environ.get("FOVEAL_SERVE_PATHS"):
        return said.lower() in ("1", "true", "yes")
    return not any(name in sys.modules for name in _SERVERS)


def _is_file(image: str | Path) -> bool:
    try:
        return "\0" not in str(image) and Path(image).is_file()
    except OSError:  # too long for a name
        return False


def _may_be_path(image: str | Path) -> bool:
    """Tell whether a row can name a file; on a server, base64 is never looked for."""
    if isinstance(image, Path):
        return True
    short = len(image) <= _LONGEST_PATH and not image.startswith("data:")
    return short and (_paths_allowed() or _decoded(image) is None)


def _decoded(text: str) -> bytes | None:
    """The bytes of a base64 text; None for another text."""
    content = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _encoded(image: object) -> bytes:
    """The encoded image of a row that is not a file."""
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    if not isinstance(image, str):
        raise TypeError(
            f"expected a path, an encoded image or an array, found {type(image).__name__}"
        )
    content = _decoded(image)
    if content is None:
        raise FileNotFoundError(f"neither an image file nor base64: {image[:_SHOWN]!r}")
    return content


def _name(image: object, number: int) -> str:
    """Name a row by its path, also if nothing is there, or by its number."""
    if isinstance(image, Path):
        return str(image)
    if isinstance(image, str) and 0 < len(image) <= _LONGEST_NAME and not image.startswith("data:"):
        is_file = _paths_allowed() and _is_file(image)
        return image if is_file or _decoded(image) is None else f"row {number}"
    return f"row {number}"


def _flat(item: Row) -> Row:
    """A prediction with its box as four fields."""
    rest = {key: value for key, value in item.items() if key != "box"}
    return {**rest, **dict(zip(_SIDES, item.get("box", ()), strict=False))}


mlflow.models.set_model(BundleModel())
