"""Error rates of A/B verdicts, in simulations and on the shipped detector.

Errors between equals however often one looks, power at the planned number of images, and a shadow
run against a damaged detector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.backends import describe_onnx, save_onnx
from components.contracts import AbResult, AbVerdict, ModelArtifact, Variant
from components.datasets.dataset import load_dataset
from components.datasets.scenes import SceneCounts, write_detection_dataset
from components.evaluation import AbPlan, evaluate_ab
from components.inference import InferencePipeline, Shadowed, ShadowPipeline
from components.optimize.opening.source import ModelOptions, open_model
from components.statistics.fixed_size import PILOT
from components.vision.image_score import score_image
from flows.config.demo import MODEL

Rows = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float], Rows]

TESTS, POWER_TESTS, NAIVE_LOOK = 1000, 400, 50
MAX_ERRORS, MIN_POWER = 0.05, 0.80
SCENES, DAMAGE, DELTA = 400, 0.06, 0.02


def one_of_five(rng: np.random.Generator, images: int, difference: float) -> Rows:
    """Classifiers of which one alone is right on a fifth of the images; both see all."""
    return _paired(
        rng.choice([-1, 0, 1], images, p=[(0.2 - difference) / 2, 0.8, (0.2 + difference) / 2])
    )


def one_of_fifty(rng: np.random.Generator, images: int, difference: float) -> Rows:
    """Draw two similar classifiers of which one alone is right on a fiftieth of the images.

    That share is larger by the difference between the two.
    """
    share = 0.01 + difference
    return _paired(rng.choice([-1, 0, 1], images, p=[0.01, 0.99 - share, share]))


def f1_scores(rng: np.random.Generator, images: int, difference: float) -> Rows:
    """Draw two detectors that find a share of a few objects and agree on half of the images.

    Both see every image.
    """
    objects = rng.integers(1, 8, images)
    a, b = (rng.binomial(objects, 0.8 + sign * difference) / objects for sign in (-1, 1))
    same = rng.random(images) < 0.5
    return np.stack([a, np.where(same, a, b)], axis=1)


def apart(rng: np.random.Generator, images: int, difference: float) -> Rows:
    """Classifiers that are right on four of five; each image is seen by one."""
    rows = np.full((images, 2), np.nan)
    arm = rng.integers(0, 2, images)
    rows[np.arange(images), arm] = rng.random(images) < 0.8 + difference * (arm - 0.5)
    return rows


SETTINGS: dict[str, tuple[Draw, float | None, float, int]] = {  # share of B, δ, most images
    "shadow, right or wrong, differ on 20 %": (one_of_five, None, 0.05, 4000),
    "shadow, right or wrong, near twins": (one_of_fifty, None, 0.05, 4000),
    "shadow, F1": (f1_scores, None, 0.05, 4000),
    "split, right or wrong": (apart, 0.5, 0.10, 6000),
}


def _paired(better: npt.NDArray[np.int64]) -> Rows:
    return np.stack([(1 - better) / 2, (1 + better) / 2], axis=1)


def errs_naively(rows: Rows) -> bool:
    """Tell whether a plain 95 % interval, looked at every 50 images, ever shows a difference."""
    return any(_significant(rows[:n]) for n in range(NAIVE_LOOK, len(rows) + 1, NAIVE_LOOK))


def _significant(rows: Rows) -> bool:
    a, b = (column[~np.isnan(column)] for column in rows.T)
    if len(a) == len(b) == len(rows):
        values, error = b - a, (b - a).std() / np.sqrt(len(rows))
        return bool(abs(values.mean()) > 1.96 * error > 0)
    return bool(abs(b.mean() - a.mean()) > 1.96 * np.sqrt(a.var() / len(a) + b.var() / len(b)))


def stopped_at(rows: Rows, plan: AbPlan) -> int:
    """Find how many images the sequential test takes to decide.

    A verdict stays once it is reached, so the search can halve the range.
    """
    low, high = 0, len(rows) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _decided(evaluate_ab(rows[:middle], plan)) else (middle, high)
    return high


def _decided(result: AbResult) -> bool:
    return result.verdict is not AbVerdict.UNDECIDED


def _picks(result: AbResult) -> bool:
    return result.verdict in (AbVerdict.A, AbVerdict.B)


def simulate(name: str, tests: int, power_tests: int) -> tuple[bool, list[str]]:
    """Measure errors between equals and power at δ, in one setting."""
    draw, share, delta, most = SETTINGS[name]
    rng = np.random.default_rng(list(name.encode()))
    fixed, sequential = AbPlan(delta, share), AbPlan(delta, share, sequential=True)
    equal = [draw(rng, most, 0.0) for _ in range(tests)]
    errors = np.mean([_picks(evaluate_ab(rows, sequential)) for rows in equal])
    naive = np.mean([errs_naively(rows) for rows in equal])
    fixed_errors = np.mean([_picks(evaluate_ab(rows, fixed)) for rows in equal])
    better = [draw(rng, most, delta) for _ in range(power_tests)]
    found = [evaluate_ab(rows, fixed) for rows in better]
    power = np.mean([result.verdict is AbVerdict.B for result in found])
    planned = float(np.median([result.planned or np.nan for result in found]))
    stops = {
        times: _stops(draw, sequential, times * delta, most, power_tests // 8, rng)
        for times in (0, 1, 2)
    }
    noise = 2 * np.sqrt(MIN_POWER * (1 - MIN_POWER) / power_tests)
    fixed_noise = 2 * np.sqrt(MAX_ERRORS * (1 - MAX_ERRORS) / tests)
    ok = (
        errors <= MAX_ERRORS
        and fixed_errors <= MAX_ERRORS + fixed_noise
        and power >= MIN_POWER - noise
    )
    lines = [
        f"{name}: a difference between equals in {errors:.1%} of {tests} sequential tests looked "
        "at after every image "
        f"up to {most}, {fixed_errors:.1%} of fixed ones; plain intervals looked at every "
        f"{NAIVE_LOOK}: {naive:.0%}",
        f"{name}: δ = {delta:g} is seen by {power:.0%} of {power_tests} fixed tests, with "
        f"{planned:.0f} images planned "
        f"from {PILOT}; sequential tests stop after {stops[1] / planned:.2f}× as many (median), "
        f"{stops[2] / planned:.2f}× at 2δ, {stops[0] / planned:.2f}× between equals",
    ]
    return bool(ok), lines


def _stops(
    draw: Draw, plan: AbPlan, difference: float, most: int, tests: int, rng: np.random.Generator
) -> float:
    return float(np.median([stopped_at(draw(rng, most, difference), plan) for _ in range(tests)]))


def damaged(artifact: ModelArtifact, folder: Path) -> ModelArtifact:
    """The detector with noise on its convolutions' weights."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(artifact.path)
    rng = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.ndim == 4 and weights.dtype == np.float32:
            noisy = weights + rng.normal(0, DAMAGE * weights.std(), weights.shape).astype(
                np.float32
            )
            tensor.CopyFrom(numpy_helper.from_array(noisy, tensor.name))
    folder.mkdir()
    save_onnx(model, folder / "damaged.onnx", artifact.spec, ())
    return describe_onnx(folder / "damaged.onnx")


def shadow(a: ModelArtifact, b: ModelArtifact, data: Path) -> tuple[AbResult, Rows]:
    """Every scene through both, A answering; the verdict of the records."""
    records: list[Shadowed] = []
    images = load_dataset(data, "val").images
    one, other = (
        InferencePipeline.open(Variant(artifact.path.name, artifact, "onnxruntime"))
        for artifact in (a, b)
    )
    with ShadowPipeline(one, other, record=records.append) as pipeline:
        for image in images:
            pipeline.predict(image.path, image_id=image.image_id)
            pipeline.wait(60)
    truths = {image.image_id: image.truth for image in images}
    answers = [
        (truths[found.a.image_id], found.a.prediction, found.b.prediction) for found in records
    ]
    scores = [
        [score_image(said, truth) if said else 0.0 for said in both] for truth, *both in answers
    ]
    rows = np.array(scores)[np.random.default_rng(0).permutation(len(scores))]
    return evaluate_ab(rows, AbPlan(DELTA, sequential=True)), rows


def real_runs(scenes: int) -> tuple[bool, list[str]]:
    """The shipped detector in FP32, against itself damaged and against itself."""
    with scratch() as name:
        folder = Path(name)
        data = write_detection_dataset(
            folder / "digits", counts=replace(SceneCounts(), train=1, validation=scenes)
        )
        shipped = open_model(MODEL, ModelOptions(trust_pickle=True), workdir=folder / "work")
        worse, rows = shadow(shipped, damaged(shipped, folder / "damaged"), data)
        same, _ = shadow(shipped, shipped, data)
    first = stopped_at(rows, AbPlan(DELTA, sequential=True))
    lines = [
        f"shadow, the shipped detector (A) and one with {DAMAGE:.0%} noise on its weights (B), "
        f"{len(rows)} scenes: "
        f"{worse.verdict.value}, {worse.reason}"
        + (f", decided after {first}" if _decided(worse) else ""),
        f"shadow, the shipped detector against itself: {same.verdict.value}, {same.reason}",
    ]
    return worse.verdict is AbVerdict.A and not _picks(same), lines


def measure(tests: int = TESTS, power_tests: int = POWER_TESTS, scenes: int = SCENES) -> Figure:
    """All settings, then the real runs."""
    parts = [simulate(name, tests, power_tests) for name in SETTINGS]
    runs_ok, run_lines = real_runs(scenes)
    details = tuple(line for _, lines in parts for line in lines) + tuple(run_lines)
    right = sum(ok for ok, _ in parts)
    text = f"{right} of {len(parts)} settings keep error and power, the damaged detector " + (
        "loses" if runs_ok else "does not lose"
    )
    bar = (
        f"≤ {MAX_ERRORS:.0%} errors with a look after every image, ≥ {MIN_POWER:.0%} power at the "
        "planned number "
        "less two standard deviations of the simulation"
    )
    return Figure("ab", text, bar, right == len(parts) and runs_ok, details)


if __name__ == "__main__":
    conclude(measure)
