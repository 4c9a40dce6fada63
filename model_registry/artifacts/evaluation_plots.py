"""Pictures of an evaluation for MLflow: confusions, precision against recall, and worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.contracts import Prediction
from components.vision import task_kind
from components.vision.evaluation import Evaluation

_LABELLED = 30  # classes up to which a matrix has names and numbers
_CURVES = 10  # classes that have a curve of their own
_WORST = 8
_TRUE, _FOUND = "#10b981", "#ef4444"


def draw_evaluation(
    found: Evaluation,
    names: Sequence[str],
    images: Mapping[str, tuple[npt.NDArray[np.uint8], Prediction | None, Prediction]],
    output: Path,
) -> None:
    """Write ``confusion_matrix.png``, ``precision_recall.png``, ``worst_images.png`` to a folder.

    Arguments:
        found: what is drawn.
        names: of the classes.
        images: image id → (height, width, 3) uint8 BGR pixels, prediction and label, of the `worst`
            ones.
        output: the folder; made if it is missing.
    """
    output.mkdir(parents=True, exist_ok=True)
    _confusions(found, names, output / "confusion_matrix.png")
    _curves(found, names, output / "precision_recall.png")
    if images:
        _worst(found, names, images, output / "worst_images.png")


def worst(found: Evaluation) -> list[str]:
    """List the ids of the worst images, worst first, without those that are wholly right."""
    wrong = [name for name, score in found.scores.items() if score < 1]
    return sorted(wrong, key=lambda name: (found.scores[name], name))[:_WORST]


def _confusions(found: Evaluation, names: Sequence[str], path: Path) -> None:
    from matplotlib.figure import Figure

    counts = found.confusions
    shown = [*names, *(["nothing"] if len(counts) > len(names) else [])]
    side = min(12.0, 3.5 + 0.4 * len(shown))
    figure = Figure(figsize=(side + 1, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(shown) <= _LABELLED:
        axes.set_xticks(range(len(shown)), shown, rotation=90)
        axes.set_yticks(range(len(shown)), shown)
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(
                column,
                row,
                str(counts[row, column]),
                ha="center",
                va="center",
                fontsize=7,
                color=colour,
            )
    axes.set(
        xlabel="predicted",
        ylabel="label",
        title="Confusions: counts, coloured by share of the label's row",
    )
    figure.colorbar(drawn, ax=axes, shrink=0.7)
    figure.savefig(path)


def _curves(found: Evaluation, names: Sequence[str], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    totals = found.confusions.sum(axis=1)
    most = sorted(found.curves, key=lambda k: -int(totals[k]))[:_CURVES]
    for k in sorted(most):
        recall, precision = found.curves[k]
        axes.plot(recall, precision, marker=".", label=f"{names[k]} ({int(totals[k])})")
    more = f", the {_CURVES} classes with most labels" if len(found.curves) > _CURVES else ""
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_title(f"Precision and recall down to the version's own threshold{more}", fontsize=10)
    axes.grid(alpha=0.25)
    if most:
        axes.legend(fontsize=8, frameon=False, title="class (labels)")
    figure.savefig(path)


def _worst(
    found: Evaluation,
    names: Sequence[str],
    images: Mapping[str, tuple[npt.NDArray[np.uint8], Prediction | None, Prediction]],
    path: Path,
) -> None:
    from matplotlib.figure import Figure

    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(4 * columns, 3.6 * rows), dpi=100, layout="constrained")
    for axes, (name, (pixels, answer, truth)) in zip(
        np.ravel(figure.subplots(rows, columns, squeeze=False)), images.items(), strict=False
    ):
        axes.imshow(pixels[..., ::-1])
        axes.set_title(f"{name[-40:]}\nscore {found.scores[name]:.2f}", fontsize=8)
        task_kind(truth.task).draw(axes, answer, truth, names, (_TRUE, _FOUND))
    for axes in figure.axes:
        axes.axis("off")
    figure.suptitle("Worst images: labels green, predictions red", fontsize=11)
    figure.savefig(path)
