"""The door to Ultralytics (AGPL-3.0): imported lazily, kept quiet, and only for files the user trusts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from components import telemetry
from components.errors import ModelError, UnavailableError, UntrustedModelError


def import_ultralytics() -> ModuleType:
    """Import Ultralytics without its side effects: no settings in the home folder, no network, no trackers.

    Raises:
        UnavailableError: it is not installed.
    """
    import cv2

    telemetry.switch_off()
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "foveal-ultralytics"))
    os.environ.setdefault("YOLO_VERBOSE", "false")
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    threads = cv2.getNumThreads()
    try:
        import ultralytics
        from ultralytics.utils import SETTINGS
    except ImportError as error:
        raise UnavailableError(
            "Ultralytics, which YOLO training and .pt files need",
            found=str(error),
            mend="pip install 'foveal[yolo]' (AGPL-3.0: see the README), or start from an ONNX export",
        ) from error
    finally:
        cv2.setNumThreads(threads)
    for tracker in ("clearml", "comet", "dvc", "hub", "mlflow", "neptune", "raytune", "sync", "tensorboard", "wandb"):
        if SETTINGS.get(tracker):
            dict.__setitem__(SETTINGS, tracker, False)
    return ultralytics


def load_yolo(path: Path, *, trust: bool) -> Any:
    """Load an Ultralytics checkpoint.

    Arguments:
        path: a `.pt` file.
        trust: the user's word that the file comes from a source they trust.

    Raises:
        UntrustedModelError: `trust` is false; a pickle runs code when it is loaded.
        ModelError: the file is missing or is not an Ultralytics checkpoint.
    """
    if not path.is_file():
        raise ModelError("a model file", found=f"nothing at {path}", mend="check the path")
    if not trust:
        raise UntrustedModelError(
            "your word that this file is trusted",
            found=f"{path.name}, a pickle that can run any code when it is loaded",
            mend="if you made it or trust its maker, say so with --trust-pickle (trust_pickle: true in YAML); "
            "an ONNX export needs no trust",
        )
    ultralytics = import_ultralytics()
    try:
        return ultralytics.YOLO(str(path))
    except Exception as error:
        raise ModelError(
            "an Ultralytics checkpoint", found=f"{path}: {type(error).__name__}: {error}", mend="export it again"
        ) from error
