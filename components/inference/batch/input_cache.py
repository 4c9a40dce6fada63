"""Cache of pre-processed inputs, by content and recipe, for repeated runs over the same images."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from components.contracts import ImageFrame
from components.files import sha256_json
from components.images.statistics import STATISTICS_RECIPE
from components.inference.engine import Fitted
from components.limits import Limits
from components.vision import VisionTask

FORMAT = 1  # raise when entries, decoding or pre-processing change
_LOG = logging.getLogger(__name__)
_DIGEST, _LENGTH = 32, 4  # bytes at the start of an entry: its sha256, and the header's length
_KEPT_SHARE = 0.8  # of the bound, after an eviction
_LOOK_SHARE = 0.05  # of the bound that this process may write before it looks at the folder again
_ABANDONED_S = 3600.0  # after which a file that was being written belongs to a process that died


Kept = tuple[Fitted, Mapping[str, float]]  # the model's input, and the picture's statistics


class InputCache:
    """Pre-processed images in a folder, the least recently used removed once there are too many.

    Several processes may use one folder. An entry is written aside and renamed, and its hash is
    checked whenever it is read: a damaged one is made again. The folder may be removed at any time.

    Arguments:
        folder: made when first written to.
        task: fits the images; only inputs of the same fit are taken.
        limit_bytes: of all entries; several processes may exceed it by a twentieth each.
    """

    def __init__(self, folder: Path, task: VisionTask, limit_bytes: int) -> None:
        self._folder, self._limit, self._lock = folder, limit_bytes, threading.Lock()
        self._recipe = _recipe(task)
        self._room: float = 0.0  # bytes that may be written before the folder is looked at again

    def get(self, sha256: str) -> Kept | None:
        """Return the input that was made of a file; None where none is whole.

        Arguments:
            sha256: of the file's bytes, in hex.
        """
        place = self._place(sha256)
        try:
            found = _unpack(place.read_bytes())
            os.utime(place)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        (_, frame), _ = found
        limits = Limits.from_environment()
        # decoding says what is to be said of an image that has become too large
        return found if frame.width * frame.height <= limits.pixels else None

    def put(self, sha256: str, fitted: Fitted, statistics: Mapping[str, float]) -> None:
        """Keep an input; a disk that takes none costs only the entry.

        Arguments:
            sha256: of the file's bytes, in hex.
            fitted: the model's input and how the image was fitted into it.
            statistics: of the picture.
        """
        content = _pack(fitted, statistics)
        if len(content) > self._limit * _LOOK_SHARE:
            return
        place = self._place(sha256)
        aside = place.with_name(f".{uuid.uuid4().hex}")
        try:
            self._make_room(len(content))
            place.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(content)
            os.replace(aside, place)
        except OSError as error:
            _LOG.warning("an input is not cached: %s: %s", place, error.strerror)
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    def _place(self, sha256: str) -> Path:
        key = hashlib.sha256(f"{self._recipe}{sha256}".encode()).hexdigest()
        return self._folder / key[:2] / key

    def _make_room(self, size: int) -> None:
        with self._lock:
            if self._room < size:
                used = _evict(self._folder, self._limit)
                self._room = min(self._limit - used, self._limit * _LOOK_SHARE)
            self._room -= size


def _recipe(task: VisionTask) -> str:
    """Hash everything that an input depends on but the file."""
    import cv2
    import PIL

    spec = {name: value for name, value in asdict(task.spec).items() if name != "class_names"}
    libraries = cv2.__version__, PIL.__version__
    return sha256_json([FORMAT, STATISTICS_RECIPE, type(task).__qualname__, spec, libraries])


def _pack(fitted: Fitted, statistics: Mapping[str, float]) -> bytes:
    pixels, frame = fitted
    about = {"shape": pixels.shape, "frame": asdict(frame), "statistics": dict(statistics)}
    header = json.dumps(about).encode()
    content = len(header).to_bytes(_LENGTH, "little") + header + pixels.tobytes()
    return hashlib.sha256(content).digest() + content


def _unpack(content: bytes) -> Kept:
    """The input of an entry.

    Raises:
        ValueError: the entry is damaged.
    """
    digest, rest = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(rest).digest() != digest:
        raise ValueError("damaged")
    end = _LENGTH + int.from_bytes(rest[:_LENGTH], "little")
    about = json.loads(rest[_LENGTH:end])
    pixels = np.frombuffer(rest, np.uint8, offset=end).reshape(about["shape"])
    return (pixels, ImageFrame(**about["frame"])), about["statistics"]


def _evict(folder: Path, limit: int) -> int:
    """Remove the least recently used entries if there is no room; return the others' bytes."""
    entries = sorted(_entries(folder), key=lambda entry: entry[1])
    used = sum(size for _, _, size in entries)
    if used <= limit * (1 - _LOOK_SHARE):
        return used
    for path, _, size in entries:
        if used <= limit * _KEPT_SHARE:
            break
        with suppress(FileNotFoundError):  # another process was faster
            path.unlink()
        used -= size
    return used


def _entries(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Yield path, time of last use and size of each entry; what dead processes left is removed."""
    for path in folder.glob("??/*"):
        with suppress(FileNotFoundError):
            found = path.stat()
            if not path.name.startswith("."):
                yield path, found.st_mtime, found.st_size
            elif time.time() - found.st_mtime > _ABANDONED_S:
                path.unlink()
