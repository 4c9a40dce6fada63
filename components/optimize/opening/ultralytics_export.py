"""Metadata of an Ultralytics export; read as data, so Ultralytics itself is not needed."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from components.backends.session import translated
from components.errors import ModelError
from components.optimize.meaning import UNIT, Fitting, StatedMeaning, detr_error
from components.vision import task_kind

TASKS = "detect", "classify"  # of Ultralytics' five, by its own names
MAX_TEXT = 4_000_000  # characters; a thousand class names take a few ten thousand


def supported_task(task: str, name: str) -> str:
    """The task of an Ultralytics model.

    Raises:
        ModelError: Foveal does not support it.
    """
    if task not in TASKS:
        raise ModelError(
            f"an Ultralytics model for {' or '.join(TASKS)}",
            found=f"one for {task} in {name}",
            hint="use its detection or classification variant",
        )
    return task


def stated_by_metadata(
    metadata: Mapping[str, object], name: str, *, resizable: bool
) -> StatedMeaning:
    """Read the statements of an export's `task`, `names` and `imgsz`.

    Arguments:
        metadata: values as they are (TorchScript) or as Python literals in text (ONNX).
        name: of the file, for errors.
        resizable: the network takes other sizes than `imgsz` as well.

    Raises:
        ModelError: an entry is missing or malformed, or the task is not supported.
    """
    if _is_detr(metadata):
        raise detr_error(name)
    with translated(
        ModelError, "readable metadata of an Ultralytics export", name, "export it again"
    ):
        task = supported_task(str(metadata["task"]), name)
        names = _value(metadata["names"])
        size = _value(metadata["imgsz"])
        labels = (
            tuple(str(names[key]) for key in sorted(names, key=int))
            if isinstance(names, dict)
            else tuple(names)
        )
        height, width = (size, size) if isinstance(size, int) else size
        stride = int(_value(metadata.get("stride", 1))) if resizable else 1
        return StatedMeaning(
            task,
            labels,
            (int(height), int(width)),
            Fitting(task_kind(task).usual_fit),
            UNIT,
            resizable,
            stride,
        )


def _is_detr(metadata: Mapping[str, object]) -> bool:
    """Tell whether an export says that it is an RT-DETR.

    It says so by its head, or in older releases by its description.
    """
    said = f"{metadata.get('head', '')} {metadata.get('description', '')}".lower()
    return "rtdetr" in said or "rt-detr" in said


def has_nms(metadata: Mapping[str, object]) -> bool:
    """Tell whether an export says that NMS is built in.

    A built-in NMS cuts detections off at the export's confidence.
    """
    try:
        said = _value(metadata.get("args", "{}"))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return isinstance(said, dict) and bool(said.get("nms"))


def _value(entry: object) -> Any:
    if not isinstance(entry, str):
        return entry
    if len(entry) > MAX_TEXT:
        raise ValueError(f"an entry of {len(entry)} characters")
    return ast.literal_eval(entry)
