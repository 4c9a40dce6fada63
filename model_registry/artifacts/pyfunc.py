"""A release as an MLflow model: any client of MLflow loads it by name and predicts."""

from __future__ import annotations

import base64
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from components.backends import get_backend
from components.package.manifest import read_manifest
from components.vision import task_kind
from model_registry.description import Release

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

_SCRIPT = Path(__file__).with_name("pyfunc_model.py")
_BOX = ("x1", "y1", "x2", "y2")


def save_pyfunc(release: Release, output: Path, model: LoggedModel, run_id: str) -> Path:
    """Write the MLflow model of a release: its bundle, and code that runs it; nothing is pickled.

    Arguments:
        release: whose bundle is served.
        output: folder to be made.
        model: that the files will belong to.
        run_id: the release's run.
    """
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import Model

    grey = cv2.imencode(".png", np.full((32, 32, 3), 114, np.uint8))[1].tobytes()
    mlflow.pyfunc.save_model(
        output,
        mlflow_model=Model(
            artifact_path=model.artifact_location, run_id=run_id, model_id=model.model_id
        ),
        python_model=str(_SCRIPT),
        # MLflow would decode a % in a path
        artifacts={"bundle": release.bundle.folder.resolve().as_uri()},
        signature=_signature(release),
        input_example=pd.DataFrame({"image": [base64.b64encode(grey).decode()]}),
        # Given, or MLflow would run the model in a process of its own to find them.
        pip_requirements=_requirements(release.chosen.backend, release.report.target.device),
        metadata={"bundle_sha256": release.bundle.sha256, "target": release.report.target.name},
    )
    return output


def _signature(release: Release) -> ModelSignature:
    """Return the signature of `pyfunc_model`: its output, and the params it takes.

    No input is declared: MLflow would refuse or convert images that are arrays or bytes before the
    model sees them.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array, Object, ParamSchema, ParamSpec, Property

    thresholds = read_manifest(release.bundle.folder).thresholds
    defaults = {"confidence": thresholds.confidence, "iou": thresholds.iou}
    params = (
        [ParamSpec(name, DataType.double, float(value)) for name, value in defaults.items()]
        if task_kind(release.chosen.artifact.spec.task).has_thresholds
        else []
    )
    prediction = Object(
        [
            Property("class_id", DataType.long),
            Property("class_name", DataType.string),
            Property("confidence", DataType.double),
            *(Property(side, DataType.double, required=False) for side in _BOX),
        ]
    )
    return ModelSignature(
        outputs=Schema(
            [
                ColSpec(DataType.string, "image"),
                ColSpec(Array(prediction), "predictions"),
                ColSpec(DataType.string, "error", required=False),
            ]
        ),
        params=ParamSchema(params) if params else None,
    )


def _requirements(backend: str, device: str) -> list[str]:
    """Return the packages that the bundle's runner and caller need, in the installed releases."""
    single = ("mlflow", "numpy", "pandas", "pillow", *get_backend(backend).bundled)
    opencv = _installed("opencv-python-headless", "opencv-python")
    return [*map(_installed, single), opencv, _onnxruntime(device)]


def _onnxruntime(device: str) -> str:
    """Return the onnxruntime of a device: a processor's needs no CUDA, whichever is installed."""
    if device != "cpu":
        return _installed("onnxruntime-gpu")
    plain, gpu = _installed("onnxruntime"), _installed("onnxruntime-gpu")
    if "==" in plain or "==" not in gpu:
        return plain
    release = gpu.partition("==")[2].split(".")
    # the two are not published in step
    return f"onnxruntime>={'.'.join(release[:2])},<{int(release[0]) + 1}"


def _installed(*names: str) -> str:
    """Return the first distribution of a package that is installed, pinned.

    Where none is, the first one, unpinned.
    """
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            return f"{name}=={metadata.version(name)}"
    return names[0]
