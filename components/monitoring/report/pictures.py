"""Small pictures for the report: those that represent a drift, and ordinary ones beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Floats
from components.monitoring.drift.embeddings import projected
from components.monitoring.drift.pairs import MISSING, Pair, without_value
from components.monitoring.drift.tables import DriftTable, spread_rows
from components.monitoring.store.pictures import Picture, picture_of

Rows = npt.NDArray[np.int64]
_TRIES = 3  # images that are looked for, for each that is shown: some are gone
_LEARNT_FROM = 2000  # rows of each side
_SHARE = 0.2  # of the window, the most drifted, among which pictures are chosen
_FARTHEST = 10.0  # standard deviations; beyond this one image is no more unusual than another


def pictures_of(table: DriftTable, rows: Iterable[int], count: int) -> list[Picture]:
    """The first `count` images among `rows` that can be shown; of thrice as many."""
    found: list[Picture] = []
    for row in list(rows)[: _TRIES * count]:
        if len(found) < count and (picture := row_picture(table, row)):
            found.append(picture)
    return found


def row_picture(table: DriftTable, row: int) -> Picture | None:
    """The thumbnail of one row."""
    uris = table.names.get("uri")
    return None if uris is None else picture_of(row_name(table, row), uris[row])


def row_name(table: DriftTable, row: int) -> str:
    """Return the name of a row's image, or its position where names are not known."""
    names = table.names.get("image_id")
    return f"image {row + 1}" if names is None or names[row] is None else str(names[row])


def drift_scores(
    reference: DriftTable, window: DriftTable, columns: Sequence[str]
) -> tuple[Floats, Floats, Floats]:
    """Score by the drifted columns how much each image looks like the window, not the reference.

    The score is that of a logistic regression which tells the two apart (a classifier two-sample
    test ranks what is unlike the other sample best; Rabanser, Günnemann and Lipton, "Failing
    Loudly", NeurIPS 2019).

    Arguments:
        reference: the accepted rows.
        window: the rows to rank; both as `aligned` gave them.
        columns: those that drifted, at least one.

    Returns:
        (m,) and (n,) scores, and the window's features (n, k).
    """
    from sklearn.linear_model import LogisticRegression

    before, after = _features(reference, window, columns)
    x, y = (sample[spread_rows(len(sample), _LEARNT_FROM)] for sample in (before, after))
    labels = np.repeat([0, 1], [len(x), len(y)])
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000).fit(
        np.concatenate([x, y]), labels
    )
    return model.decision_function(before), model.decision_function(after), after


def representatives(scores: Floats, features: Floats, count: int) -> Rows:
    """Choose a few of the most drifted images, each next one the farthest from those before it.

    Arguments:
        scores: (n,) of the window.
        features: (n, k) likewise.
        count: how many, at most.
    """
    ranked = np.argsort(-scores, kind="stable")[: max(count, round(_SHARE * len(scores)))]
    chosen = [0]
    gaps = np.linalg.norm(features[ranked] - features[ranked[0]], axis=1)
    while len(chosen) < min(count, len(ranked)):
        gaps[chosen[-1]] = -1
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(
            gaps, np.linalg.norm(features[ranked] - features[ranked[chosen[-1]]], axis=1)
        )
        gaps[chosen] = -1
    return ranked[chosen]


def standardised(rows: Floats) -> Floats:
    """Give columns of (n, k) rows mean 0 and spread 1, outliers held at ten times that."""
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
    return np.asarray(scaled.clip(-_FARTHEST, _FARTHEST))


def _features(
    reference: DriftTable, window: DriftTable, columns: Sequence[str]
) -> tuple[Floats, Floats]:
    """The drifted columns as numbers on one scale: (m, k) and (n, k)."""
    m = reference.samples
    both = np.concatenate(
        [np.concatenate(_numbers(reference, window, column)) for column in columns], axis=1
    )
    scaled = standardised(both)
    return scaled[:m], scaled[m:]


def _numbers(reference: DriftTable, window: DriftTable, column: str) -> tuple[Floats, Floats]:
    """One column in both tables: (m, k) and (n, k) finite numbers."""
    name = column.removesuffix(MISSING)
    before, after = reference.columns[name], window.columns[name]
    if column != name:
        before, after = without_value(before), without_value(after)
    elif reference.is_vector(name):
        return projected(before, before), projected(before, after)
    elif reference.is_category(name):
        names, was, now = Pair(name, before, after).shares()
        gained = names[int((now - was).argmax())]
        before, after = before == gained, after == gained
    else:
        middle = float(np.nanmedian(before))
        before, after = (
            np.where(np.isfinite(values), values, middle) for values in (before, after)
        )
    return before[:, None].astype(np.float64), after[:, None].astype(np.float64)
