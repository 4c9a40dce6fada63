"""What is combined: the models, or the views of a model, that predicted the same image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Flags, Floats
from components.errors import ConfigError

if TYPE_CHECKING:
    from components.contracts import View
    from components.vision.combining.settings import Combining, Tiling


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Voters, which are models or views of a model, in the order of their predictions.

    Arguments:
        weights: (m,) float64, positive.
        known: (m, classes) bool: which of the ensemble's classes each one knows. A class is judged
            by those that know it.
        exclusive: scores of all classes sum to 1.
    """

    weights: Floats
    known: Flags
    exclusive: bool = False

    @classmethod
    def of(cls, weights: npt.ArrayLike, classes: int, *, exclusive: bool = False) -> Ensemble:
        """Return voters that all know all classes."""
        values = np.asarray(weights, np.float64)
        return cls(values, np.ones((len(values), classes), bool), exclusive)

    def repeated(self, times: int) -> Ensemble:
        """Return the ensemble in which each voter has several predictions, one after the other."""
        return Ensemble(
            self.weights.repeat(times), self.known.repeat(times, axis=0), self.exclusive
        )


Combiner = Callable[[Sequence[Any], Ensemble, "Combining"], Any]
"""Merges one prediction of each voter, in pixels of the image and in the ensemble's class ids."""

Joiner = Callable[[Sequence[Any], Sequence["View"], "Tiling"], Any]
"""Merges the predictions of an image's tiles, each in pixels of the image, given the tiles."""


def chosen(table: Mapping[str, T], name: str | None, what: str) -> T:
    """Return a method of a task by its name; None is the first.

    Arguments:
        table: the methods that the task has, such as `VisionTask.combiners`.
        name: of the method.
        what: they are for, for the error, such as "to combine predictions".

    Raises:
        ConfigError: the task has no such method, or none at all.
    """
    found = next(iter(table), None) if name is None else name
    if found is None or found not in table:
        raise ConfigError(
            f"a method {what}, one of {', '.join(table)}" if table else f"a task with a way {what}",
            found=f"{found}" if table else "none of the models' task",
        )
    return table[found]
