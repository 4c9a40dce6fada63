"""The views of an image that each model of a pipeline sees: its flips, and the tiles of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from components.contracts import Prediction, View
from components.inference.ensemble.settings import PipelineSettings
from components.vision import VisionTask
from components.vision.combining.ensemble import Joiner, chosen
from components.vision.combining.tiles import tiles_of

_FLIPS = {"horizontal": (True, False), "vertical": (False, True), "both": (True, True)}


class Views:
    """Cuts images into views, and makes one prediction of the tiles of each flip.

    Arguments:
        settings: of the pipeline.
        task: of the models.

    Raises:
        ConfigError: tiles are wanted of a task whose predictions cannot be joined.
    """

    def __init__(self, settings: PipelineSettings, task: type[VisionTask]) -> None:
        self._tiling = settings.tiling
        self._flips = ((False, False), *(_FLIPS[name] for name in settings.flips))
        self._join: Joiner | None = (
            chosen(task.joiners, self._tiling.merge, "to join tiles") if self._tiling else None
        )

    @property
    def flips(self) -> int:
        """Count the predictions of an image that each model makes, once tiles are joined."""
        return len(self._flips)

    def of(self, height: int, width: int) -> list[View]:
        """Return all views of an image: the tiles as they are, then those of each flip."""
        tiles = (
            (View.of_whole(height, width),)
            if self._tiling is None
            else tiles_of(height, width, self._tiling)
        )
        return [replace(tile, flip_x=x, flip_y=y) for x, y in self._flips for tile in tiles]

    def joined(self, predictions: Sequence[Prediction], views: Sequence[View]) -> list[Prediction]:
        """Return one prediction of each flip.

        Arguments:
            predictions: of all views, each in pixels of its view.
            views: see `of`.
        """
        placed = [found.placed(view) for found, view in zip(predictions, views, strict=True)]
        tiles = len(views) // len(self._flips)
        if self._tiling is None or self._join is None or tiles == 1:
            return placed
        return [
            self._join(placed[k : k + tiles], views[k : k + tiles], self._tiling)
            for k in range(0, len(views), tiles)
        ]
