"""The golden set: real images with the shipped model's inputs, outputs and predictions for them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.backends import Session
from components.contracts import Prediction
from components.errors import ConfigError
from components.files import write_json
from components.images.reading import read_image
from components.package.rule_images import RULES, draw_base
from components.package.run_template import GOLDEN, Finding, Item, Json, Pixels, Rules, check_golden
from components.vision import VisionTask

FOLDER = "golden"
RULE = f"{FOLDER}/rule-"  # begins the names of pictures that stand for a rule of reading


def write_golden(folder: Path, images: Sequence[Path], session: Session, task: VisionTask) -> None:
    """Run the model on the golden images and keep all of it in `folder`/golden.

    The encoded images are copied byte for byte; beside each lies an `.npz` with the fitted input
    and the raw outputs. To them come pictures made of the first one, one for each rule of reading:
    where the device's decoder does otherwise, it shows. Of these the fitted input and the
    predictions are kept.

    Arguments:
        folder: of the bundle.
        images: encoded images.
        session: of the bundle's own model.
        task: its meaning, with the bundle's thresholds.

    Raises:
        ConfigError: there are no images.
        ImageError: one cannot be read.
        ModelError: the model fails on one.
    """
    if not images:
        raise ConfigError(
            "at least one golden image",
            found="none",
            hint="name images that show what the model sees",
        )
    (folder / FOLDER).mkdir()
    entries: list[Json] = []
    for number, image in enumerate(images, start=1):
        copy = f"{FOLDER}/{number:04d}{image.suffix.lower()}"
        read_image(image)  # an error is to name the original
        shutil.copyfile(image, folder / copy)
        entries.append(_record(folder, copy, session, task) | {"source": image.name})
    base = draw_base(read_image(images[0]))
    for rule, (suffix, encode) in RULES.items():
        name = f"{RULE}{rule}{suffix}"
        (folder / name).write_bytes(encode(base))
        entries.append(_record(folder, name, session, task, outputs=False) | {"rule": rule})
    write_json(folder / GOLDEN, {"images": entries})


def _record(
    folder: Path, image: str, session: Session, task: VisionTask, *, outputs: bool = True
) -> Json:
    """Run one image of the bundle and keep its arrays beside it; what the listing says of it."""
    fitted, frame = task.preprocess(read_image(folder / image))
    found = session.run(fitted[None])
    arrays: Json = {f"output_{k}": output for k, output in enumerate(found)} if outputs else {}
    name = f"{image.rpartition('.')[0]}.npz"
    np.savez(folder / name, input=fitted, **arrays)
    items = to_items(task.postprocess(found, [frame])[0], task.spec.class_names)
    return {"image": image, "arrays": name, "items": items}


def reproduce(
    folder: Path, session: Session, task: VisionTask, rules: Rules
) -> tuple[list[Finding], float]:
    """Run the golden set of an unpacked bundle again; see `check_golden` for what comes back."""

    def predict(path: Path) -> tuple[Pixels, list[Item]]:
        fitted, frame = task.preprocess(read_image(path))
        (prediction,) = task.postprocess(session.run(fitted[None]), [frame])
        return fitted, to_items(prediction, task.spec.class_names)

    return check_golden(folder, rules, session.run, predict)


def to_items(prediction: Prediction, class_names: Sequence[str]) -> list[Item]:
    """Return a prediction as the runner writes it.

    It is detections with a box, or the five most probable classes, best first, each with what else
    its task says of it.
    """
    return [
        {
            "class_id": k,
            "class_name": class_names[k],
            "confidence": score,
            **({"box": list(box)} if box else {}),
            **dict(values),
        }
        for k, score, box, _, values in prediction.named()
    ]
