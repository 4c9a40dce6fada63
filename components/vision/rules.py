"""Rules by which detections are kept or dropped, as settings and as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from components.contracts import Detections
from components.contracts.arrays import Array, Flags
from components.errors import ConfigError
from components.settings import ComponentSettings

Point = tuple[float, float]
Rule = Callable[[Any, Any, tuple[str, ...]], Flags]
"""Tells which detections to keep, by the rule's value and the class names; index is class id."""


class Rules(ComponentSettings):
    """Detections that are kept; a rule that is not given keeps all."""

    min_side_px: float | None = Field(
        None, gt=0, description="Shorter side of a box in pixels of the image, at least."
    )
    region: tuple[Point, ...] | None = Field(
        None,
        description="Corners [x, y] of a polygon in pixels of the image, in which the middle of a "
        "box must be.",
    )
    classes: tuple[str, ...] | None = Field(None, description="Names of the classes to keep.")
    confidence: dict[str, float] | None = Field(
        None, description="Score that detections of a class must exceed, by its name."
    )

    @field_validator("region")
    @classmethod
    def _has_area(cls, region: tuple[Point, ...] | None) -> tuple[Point, ...] | None:
        if region is None:
            return None
        x, y = np.array(region, np.float64).reshape(-1, 2).T
        if len(region) < 3 or not np.isfinite([x, y]).all():
            raise ValueError("expected a polygon of at least three finite points")
        if abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) == 0:
            raise ValueError("expected a polygon with an area")
        return region

    @field_validator("confidence")
    @classmethod
    def _in_range(cls, confidence: dict[str, float] | None) -> dict[str, float] | None:
        if confidence is not None and not all(0 <= value <= 1 for value in confidence.values()):
            raise ValueError("expected scores between 0 and 1")
        return confidence

    def given(self) -> dict[str, Any]:
        """Return the rules that there are, by name."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}


def filter_by(
    rules: Rules, known: Mapping[str, Rule], class_names: tuple[str, ...]
) -> Callable[[Any], Any]:
    """Return what keeps those of an image's detections that meet all rules.

    Arguments:
        rules: as settings.
        known: the rules that the task has, `VisionTask.rules`; its predictions have `subset`.
        class_names: index is class id.

    Raises:
        ConfigError: the task has no such rule, or a rule names a class that there is not.
    """
    chosen = rules.given()
    if other := [name for name in chosen if name not in known]:
        raise ConfigError(
            f"rules of the models' task, {', '.join(known) or 'which has none'}",
            found=", ".join(other),
            hint="give the pipeline a function, hook, for what is special",
        )
    named = {*(rules.classes or ()), *(rules.confidence or {})}
    if unknown := sorted(named - set(class_names)):
        raise ConfigError(
            f"classes among {', '.join(class_names)}",
            found=", ".join(unknown),
            hint="write the names as the models have them",
        )

    def keep(prediction: Any) -> Any:
        for name, value in chosen.items():
            prediction = prediction.subset(known[name](prediction, value, class_names))
        return prediction

    return keep


def is_large(found: Detections, side_px: float, class_names: tuple[str, ...]) -> Flags:
    """Tell which boxes have no side shorter than `side_px`."""
    return np.asarray(
        (found.xyxy[:, 2:] - found.xyxy[:, :2]).min(axis=1, initial=np.inf) >= side_px
    )


def is_in_region(
    found: Detections, region: tuple[Point, ...], class_names: tuple[str, ...]
) -> Flags:
    """Tell which boxes have their middle in a polygon, whose sides may cross (even-odd rule)."""
    return inside_polygon((found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2, np.array(region, np.float64))


def is_of_classes(
    found: Detections, classes: tuple[str, ...], class_names: tuple[str, ...]
) -> Flags:
    """Tell which detections are of the named classes."""
    wanted = np.array([name in classes for name in class_names])
    return np.asarray(wanted[found.class_ids])


def is_sure(
    found: Detections, confidence: Mapping[str, float], class_names: tuple[str, ...]
) -> Flags:
    """Tell which detections score more than the threshold of their class, if it has one."""
    floors = np.array([confidence.get(name, -1.0) for name in class_names], np.float32)
    return np.asarray(found.scores > floors[found.class_ids])


def inside_polygon(points: Array, corners: Array) -> Flags:
    """Tell which of (n, 2) points are inside a polygon of (k, 2) corners, k ≥ 3, by even-odd rule.

    A ray to the right of each point crosses the outline an odd number of times.
    """
    x, y = points.astype(np.float64).T[:, :, None]
    (x1, y1), (x2, y2) = corners.T, np.roll(corners, -1, axis=0).T
    crosses = (y1 > y) != (y2 > y)
    rise = np.where(y1 == y2, 1.0, y2 - y1)  # of a level side, which no ray crosses
    left = x < x1 + (y - y1) * (x2 - x1) / rise
    return np.asarray((crosses & left).sum(axis=1) % 2 == 1)


DETECTION_RULES: dict[str, Rule] = {
    "min_side_px": is_large,
    "region": is_in_region,
    "classes": is_of_classes,
    "confidence": is_sure,
}
