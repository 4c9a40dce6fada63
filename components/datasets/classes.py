"""Match classes by name: what two files call a class is the same whatever its number in either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from components.datasets.checks import name_some
from components.datasets.dataset import LabelledDataset
from components.errors import IncompatibleError


def same_classes(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether two have the same class names, in whatever order."""
    return Counter(one) == Counter(other)


def class_ids(names: Sequence[str], among: Sequence[str]) -> list[int]:
    """Give the id that each of `names` has in `among`; -1 where it is not there.

    Raises:
        IncompatibleError: the orders differ and a name comes twice, so that nobody knows which is
            which.
    """
    if tuple(names) == tuple(among):
        return list(range(len(names)))
    if repeated := [
        name for known in (names, among) for name, count in Counter(known).items() if count > 1
    ]:
        raise IncompatibleError(
            "class names that come once, as they are in another order",
            found=f"{name_some(dict.fromkeys(repeated))} more than once",
            hint="give each class a name of its own",
        )
    ids = {name: number for number, name in enumerate(among)}
    return [ids.get(name, -1) for name in names]


def in_classes_of(dataset: LabelledDataset, names: Sequence[str]) -> LabelledDataset:
    """Give a dataset the class ids of a model, by name.

    A class that no image shows may be missing on either side.

    Arguments:
        dataset: a split.
        names: the model's; index is class id.

    Returns:
        The same images under the same hash, with truths in the model's ids.

    Raises:
        IncompatibleError: images show classes that the model does not know.
    """
    if dataset.class_names == tuple(names):
        return dataset
    ids = class_ids(dataset.class_names, names)
    shown = Counter(k for image in dataset.images for k in set(image.truth.labels))
    if unknown := {dataset.class_names[k]: count for k, count in shown.items() if ids[k] < 0}:
        raise IncompatibleError(
            f"labels of the model's classes, {', '.join(names)}",
            found=", ".join(f"{name} (images: {count})" for name, count in unknown.items())
            + f" of {dataset.split} in {dataset.root}",
            hint="label with these names, in any order; where the model's file does not name its "
            "classes, "
            "give class_names in the order of its outputs",
        )
    images = tuple(
        replace(image, truth=image.truth.renumbered(ids, len(names))) for image in dataset.images
    )
    return replace(dataset, class_names=tuple(names), images=images)
