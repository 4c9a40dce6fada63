"""Methods that combine classifications of one image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.contracts import Classification, Prediction
from components.vision.combining.ensemble import Combiner, Ensemble
from components.vision.combining.settings import Combining
from components.vision.metrics import only


def average(
    predictions: Sequence[Prediction], ensemble: Ensemble, settings: Combining
) -> Classification:
    """Average each class's score over those that know the class, by their weights.

    Where some do not know all classes and scores are probabilities, the means are scaled to sum
    to 1.

    Arguments:
        predictions: one `Classification` of each voter.
        ensemble: the voters.
        settings: not needed here.

    Raises:
        IncompatibleError: a prediction is not of a classifier.
    """
    scores = np.stack([one.probs for one in only(Classification, predictions)]).astype(np.float64)
    weights = ensemble.weights[:, None] * ensemble.known
    means = (scores * weights).sum(axis=0) / weights.sum(axis=0)
    if ensemble.exclusive and not ensemble.known.all():
        means /= means.sum()
    return Classification(means)


SCORE_COMBINERS: dict[str, Combiner] = {"average": average}
