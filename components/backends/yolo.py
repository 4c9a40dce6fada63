"""The door to Ultralytics (AGPL-3.0): imported lazily, kept quiet, and only for files the user trusts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from components import telemetry
from components.backends.session import one_line
from components.errors import ModelError, UnavailableError, UntrustedModelError
from components.files import replacing


def import_ultralytics() -> ModuleType:
    """Import Ultralytics without its side effects: no settings in the home folder, no network, no trackers.

    Raises:
        UnavailableError: it is not installed.
    """
    telemetry.switch_off()
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "foveal-ultralytics"))
    os.environ.setdefault("YOLO_VERBOSE", "false")
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    try:
        with _undone_afterwards():
            ultralytics = import_module("ultralytics")
            settings = import_module("ultralytics.utils").SETTINGS
    except ImportError as error:
        raise UnavailableError(
            "Ultralytics, which YOLO training and .pt files need",
            found=str(error),
            mend="pip install 'foveal[yolo]' (AGPL-3.0: see the README), or start from an ONNX export",
        ) from error
    for tracker in ("clearml", "comet", "dvc", "hub", "mlflow", "neptune", "raytune", "sync", "tensorboard", "wandb"):
        if settings.get(tracker):
            dict.__setitem__(settings, tracker, False)
    return ultralytics


@contextmanager
def _undone_afterwards() -> Iterator[None]:
    """Put back what importing Ultralytics changes for the whole process.

    It limits OpenMP to one thread (also for child processes), turns off OpenCV's threads, sets how numpy prints,
    and replaces `torch.save`. torch comes first, so that it still sees the user's own OpenMP setting.
    """
    import cv2
    import torch

    environment, threads, save = dict(os.environ), cv2.getNumThreads(), torch.save
    printing = np.get_printoptions()
    try:
        yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        cv2.setNumThreads(threads)
        np.set_printoptions(**printing)
        torch.save = save


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
    if path.suffix.lower() != ".pt":
        raise ModelError("an Ultralytics checkpoint, which ends in .pt", found=path.name, mend="rename it")
    ultralytics = import_ultralytics()
    try:
        with _undone_afterwards():
            return ultralytics.YOLO(str(path))
    except Exception as error:
        raise ModelError(
            "an Ultralytics checkpoint", found=f"{path.name}: {one_line(error)}", mend="export it again"
        ) from error


def forget_places(checkpoint: Path) -> None:
    """Take out of an Ultralytics checkpoint where it was made: folders of this machine, and the repository around them.

    A checkpoint is passed on. Its weights and the names of files stay.

    Arguments:
        checkpoint: a file that Ultralytics has just written for us; it is replaced.
    """
    import torch

    import_ultralytics()
    contents, _ = import_module("ultralytics.nn.tasks").torch_safe_load(checkpoint, safe_only=True)
    contents.pop("git", None)
    _keep_names_alone(contents)
    for network in filter(None, (contents.get("model"), contents.get("ema"))):
        _keep_names_alone(vars(network))
    with replacing(checkpoint) as aside:
        torch.save(contents, aside)


def _keep_names_alone(described: dict[str, Any]) -> None:
    for key, value in described.items():
        if isinstance(value, dict):
            _keep_names_alone(value)
        elif isinstance(value, str | Path) and Path(value).is_absolute():
            described[key] = Path(value).name
