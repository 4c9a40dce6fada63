"""Result of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainedModel:
    """A finished training run: the best checkpoint, its validation metrics and its curve."""

    checkpoint: Path
    metrics: dict[str, float]
    curve: Path
