"""Best CPU variant's speed against `YOLO.predict`, at the same accuracy, in one interleaved run."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.figure import Figure, conclude
from benchmarks.subject import Image, Subject, scratch
from components.backends import get_backend
from components.contracts import ModelArtifact, Precision
from components.datasets.dataset import load_dataset
from components.images.reading import read_image
from components.optimize import PassContext
from components.optimize.variants import make_variants
from components.vision import task_for

ROUNDS, CALLS, BAR, MAX_DROP = 15, 30, 1.5, 0.01
Predict = Callable[[Image], object]


def interleaved(contenders: dict[str, Predict], images: list[Image]) -> dict[str, list[float]]:
    """Measure milliseconds per image, one median a round.

    Every round runs each contender on the same images.
    """
    order = random.Random(0)  # noqa: S311 - an order, not a secret
    medians: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-1, ROUNDS):  # round −1 warms up
        chosen = [images[(number * CALLS + k) % len(images)] for k in range(CALLS)]
        for name in order.sample(list(contenders), len(contenders)):
            times = []
            for image in chosen:
                started = time.perf_counter()
                contenders[name](image)
                times.append(1e3 * (time.perf_counter() - started))
            if number >= 0:
                medians[name].append(statistics.median(times))
    return medians


def variants_of(subject: Subject) -> tuple[ModelArtifact, ...]:
    """FP32 and INT8, calibrated on the calibration split."""
    task = task_for(subject.source.spec)
    calibration = load_dataset(subject.data, "calibration")
    inputs = [task.preprocess(read_image(image.path))[0] for image in calibration.images]
    context = PassContext(
        subject.workdir,
        calibration=inputs,
        calibration_sha256=calibration.sha256,
        trust_pickle=False,
    )
    return make_variants(subject.source, (Precision.FP32, Precision.INT8), context)


def measure() -> Figure:
    """Time and score `YOLO.predict` and every variant on every CPU backend, on the same images."""
    threads = os.cpu_count() or 1
    with scratch() as folder:
        subject = Subject(Path(folder))
        task = task_for(subject.source.spec)
        judge = task.evaluation_settings()
        truths = [image.truth for image in subject.dataset.images]
        contenders: dict[str, Predict] = {"YOLO.predict": subject.predict}
        scores = {}
        originals = [subject.predict(image, conf=0.001, rect=False) for image in subject.images]
        scores["YOLO.predict"] = judge.evaluate(originals, truths)[judge.metric]
        for artifact in variants_of(subject):
            for backend in ("onnxruntime", "openvino"):
                session = get_backend(backend).open(artifact, threads=threads)

                def predict(image: Image, session=session, task=task) -> object:  # type: ignore[no-untyped-def]
                    fitted, frame = task.preprocess(image)
                    return task.postprocess(session.run(fitted[None]), [frame])

                name = f"{artifact.history[-1].name} {artifact.precision.value} · {backend}"
                contenders[name] = predict
                found = [predict(image, task=judge)[0] for image in subject.images]  # type: ignore[call-arg, index]
                scores[name] = judge.evaluate(found, truths)[judge.metric]
        # Ultralytics leaves a core idle; the comparison gives it all of them
        torch.set_num_threads(threads)
        medians = interleaved(contenders, subject.images)
    return conclude_from(medians, scores)


def conclude_from(medians: dict[str, list[float]], scores: dict[str, float]) -> Figure:
    """The best variant whose accuracy holds, by the median of its per-round ratios."""
    original = medians.pop("YOLO.predict")
    limit = scores["YOLO.predict"] - MAX_DROP
    details = [
        f"YOLO.predict: {statistics.median(original):.2f} ms, mAP50-95 {scores['YOLO.predict']:.4f}"
    ]
    ratios = {}
    for name, times in medians.items():
        per_round = sorted(a / b for a, b in zip(original, times, strict=True))
        spread = f"[{per_round[1]:.2f}, {per_round[-2]:.2f}]"
        held = scores[name] >= limit
        details.append(
            f"{name}: {statistics.median(times):.2f} ms, {statistics.median(per_round):.2f}× "
            f"{spread}, "
            f"mAP50-95 {scores[name]:.4f}{'' if held else ' (too low)'}"
        )
        if held:
            ratios[name] = statistics.median(per_round)
    if not ratios:
        return Figure("speed", "no variant keeps its accuracy", f"≥ {BAR}×", False, tuple(details))
    best = max(ratios, key=ratios.__getitem__)
    text = (
        f"{ratios[best]:.2f}× YOLO.predict ({best}), ΔmAP50-95 "
        f"{scores[best] - scores['YOLO.predict']:+.4f}"
    )
    return Figure(
        "speed", text, f"≥ {BAR}× at Δ ≥ −{MAX_DROP}", ratios[best] >= BAR, tuple(details)
    )


if __name__ == "__main__":
    conclude(measure)
