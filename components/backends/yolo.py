"""Access to Ultralytics (AGPL-3.0): imported lazily, kept quiet, only for files the user trusts."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from components import telemetry
from components.backends.neutral import neutral_copy
from components.backends.session import translated
from components.backends.torch_pickle import pickle_of
from components.errors import ModelError, UnavailableError, UntrustedModelError
from components.files import replacing

if TYPE_CHECKING:
    from ultralytics import YOLO

INSTALL = "pip install 'foveal[yolo]' (AGPL-3.0: see the README), or start from an ONNX export"


def import_ultralytics() -> ModuleType:
    """Import Ultralytics without its settings in the home folder, its network use and its trackers.

    Raises:
        UnavailableError: it is not installed.
    """
    telemetry.switch_off()
    if "YOLO_CONFIG_DIR" not in os.environ:
        os.environ["YOLO_CONFIG_DIR"] = _settings_folder()
    os.environ.setdefault("YOLO_VERBOSE", "false")
    try:
        with _undone_afterwards():
            ultralytics = import_module("ultralytics")
            for place, names in _OFFLINE.items():
                _replace(import_module(f"ultralytics.utils.{place}"), names)
            settings = import_module("ultralytics.utils").SETTINGS
    except ImportError as error:
        raise _unavailable(str(error)) from error
    for tracker in (
        "clearml",
        "comet",
        "dvc",
        "hub",
        "mlflow",
        "neptune",
        "raytune",
        "sync",
        "tensorboard",
        "wandb",
    ):
        if settings.get(tracker):
            dict.__setitem__(settings, tracker, False)
    return ultralytics


def _replace(module: ModuleType, functions: Mapping[str, Callable[..., object]]) -> None:
    """Replace functions of a module, also where modules of Ultralytics took them over by name."""
    for name, instead in functions.items():
        theirs = getattr(module, name)
        for user in list(sys.modules.values()):
            if (
                getattr(user, "__name__", "").startswith("ultralytics")
                and vars(user).get(name) is theirs
            ):
                setattr(user, name, instead)


def _is_reachable_url(url: str | Path, check: bool = False) -> bool:
    parts = urlsplit(str(url))
    return bool(parts.scheme and parts.netloc) and not check


def _refuse(*arguments: object, **named: object) -> None:
    wanted = named.get("url") or (arguments[0] if arguments else "a file")
    raise ConnectionError(
        f"expected a file on this machine, found {wanted}; Foveal downloads nothing at run time"
    )


_OFFLINE: dict[
    str, dict[str, Callable[..., object]]
] = {  # its own switch leaves out fonts, datasets and weights
    # it also writes a list of fonts into the home folder
    "checks": {"check_font": lambda *_: None},
    "downloads": {
        "is_url": _is_reachable_url,
        "get_github_assets": lambda *_, **__: ("", []),
        "safe_download": _refuse,
    },
}


def _unavailable(found: str) -> UnavailableError:
    return UnavailableError(
        "Ultralytics, which YOLO training and .pt files need", found=found, hint=INSTALL
    )


def has_ultralytics() -> bool:
    """Tell whether Ultralytics is installed, without importing it."""
    try:
        return find_spec("ultralytics") is not None
    except ValueError:  # somebody has put something else in its place
        return False


def is_ultralytics(path: Path) -> bool:
    """Tell an Ultralytics checkpoint by the classes that its pickle names; nothing is loaded."""
    return b"ultralytics.nn" in pickle_of(path)


def require_ultralytics(path: Path) -> None:
    """Check early that Ultralytics is installed, if a checkpoint needs it; nothing is loaded.

    Raises:
        UnavailableError: it does, and Ultralytics is not installed.
    """
    if not has_ultralytics() and is_ultralytics(path):
        raise _unavailable(
            f"{path.name}, a checkpoint of Ultralytics, and no Ultralytics installed"
        )


@cache
def _settings_folder() -> str:
    """A private folder for Ultralytics' settings; it goes with this process, children share it."""
    folder = tempfile.mkdtemp(prefix="foveal-ultralytics-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def _undone_afterwards() -> Iterator[None]:
    """Put back what importing Ultralytics changes for the whole process.

    It limits OpenMP to one thread (also for child processes), turns off OpenCV's threads, sets how
    numpy prints, and replaces `torch.save`. torch comes first, so that it still sees the user's own
    OpenMP setting.
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


def load_yolo(path: Path, *, trust: bool) -> YOLO:
    """Load an Ultralytics checkpoint from a copy without a name.

    So no other file is opened or fetched instead.

    Arguments:
        path: the file, whatever its name.
        trust: the user's word that the file comes from a source they trust.

    Raises:
        UntrustedModelError: `trust` is false; a pickle runs code when it is loaded.
        ModelError: the file is missing, is not an Ultralytics checkpoint, or contradicts itself.
    """
    if not path.is_file():
        raise ModelError("a model file", found=f"nothing at {path}", hint="check the path")
    if not trust:
        raise UntrustedModelError(
            "your word that this file is trusted",
            found=f"{path.name}, a pickle that can run any code when it is loaded",
            hint="if you made it or trust its maker, say so with --trust-pickle (trust_pickle: "
            "true in YAML); "
            "an ONNX export needs no trust",
        )
    ultralytics = import_ultralytics()
    with (
        translated(ModelError, "an Ultralytics checkpoint", path.name, "export it again"),
        neutral_copy(path, ".pt") as copy,
        _undone_afterwards(),
    ):
        yolo = ultralytics.YOLO(str(copy))
        _require_own_classes(yolo, copy)
        return yolo


def _require_own_classes(yolo: YOLO, copy: Path) -> None:
    """Make sure that what came back is what this very file holds.

    Raises:
        ValueError: another file was opened, or the classes are not those that the file's network
            has.
    """
    if Path(yolo.ckpt_path) != copy:
        raise ValueError(f"Ultralytics opened {Path(yolo.ckpt_path).name} instead")
    held = yolo.ckpt.get("ema") or yolo.ckpt["model"]
    head = list(getattr(held, "model", [None]))[-1]
    linear = getattr(head, "linear", None)  # of a classifier; other heads say it themselves
    classes = getattr(head, "nc", None) or getattr(linear, "out_features", len(yolo.names))
    if dict(yolo.names) != dict(held.names) or len(yolo.names) != classes:
        raise ValueError(f"{len(yolo.names)} class names for a network of {classes} classes")


def forget_places(checkpoint: Path) -> None:
    """Remove from an Ultralytics checkpoint where it was made.

    That is the folders of this machine, and the repository around them.

    A checkpoint is passed on. Its weights and the names of files stay.

    Arguments:
        checkpoint: a file that Ultralytics has just written for us; it is replaced.
    """
    import torch

    import_ultralytics()
    with neutral_copy(checkpoint, ".pt") as copy:
        contents, _ = import_module("ultralytics.nn.tasks").torch_safe_load(copy, safe_only=True)
    contents.pop("git", None)
    _keep_names_alone(contents)
    for network in filter(None, (contents.get("model"), contents.get("ema"))):
        _keep_names_alone(vars(network))
    with replacing(checkpoint) as aside:
        torch.save(contents, aside)


def _keep_names_alone(described: dict[str, object]) -> None:
    for key, value in described.items():
        if isinstance(value, dict):
            _keep_names_alone(value)
        elif isinstance(value, str | Path) and Path(value).is_absolute():
            described[key] = Path(value).name
