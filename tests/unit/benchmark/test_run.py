"""Real processes, real models, real pictures."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from components.benchmark import evaluate, run_benchmark
from components.benchmark.messages import Measure, Open, Opened, Timings
from components.benchmark.plan import BenchmarkSettings
from components.benchmark.worker_client import Worker, WorkerFailedError
from components.contracts import (
    BenchmarkReport,
    Budget,
    ModelArtifact,
    Precision,
    Target,
    Variant,
    Verdict,
    dump,
    load,
)
from components.datasets.dataset import LabelledDataset
from components.errors import ConfigError, DatasetError, IncompatibleError, ModelError
from components.vision import TASKS
from components.vision.heads import HEADS

pytestmark = pytest.mark.slow

ONNXRUNTIME = Target(
    "test",
    "",
    ("onnxruntime",),
    "cpu",
    1,
    (Precision.FP32,),
    Budget(p95_ms=1000, size_mb=5, max_accuracy_drop=0.01),
)


def workers() -> list[psutil.Process]:
    """The worker processes of this test, in the order in which they were started."""
    children = [
        child
        for child in psutil.Process().children()
        if "components.benchmark.worker" in child.cmdline()
    ]
    return sorted(children, key=lambda child: (child.create_time(), child.pid))


def after_first_round(act: Callable[[], None]) -> Callable[[str, int, int], None]:
    """A progress listener that acts once, between the first and the second round."""

    def listen(what: str, done: int, total: int) -> None:
        if (what, done) == ("timing rounds", 1):
            act()

    return listen


@pytest.fixture
def measure(pictures: Any) -> Callable[..., BenchmarkReport]:
    def run(*artifacts: ModelArtifact, **options: Any) -> BenchmarkReport:
        known, effort = (
            {"target": ONNXRUNTIME, "dataset": pictures},
            {"rounds": 6, "calls": 4, "batch": 5},
        )
        for name, value in options.items():
            (effort if name in BenchmarkSettings.model_fields else known)[name] = value
        return run_benchmark(
            artifacts, settings=BenchmarkSettings().model_copy(update=effort), **known
        )

    return run


def test_fast_and_right_variant_ships_and_fast_but_wrong_one_does_not(
    measure: Callable[..., BenchmarkReport], make_classifier: Any
) -> None:
    original = make_classifier("original", matmuls=12)
    fast = make_classifier("fast", precision=Precision.INT8)
    wrong = make_classifier("wrong", turned=True, precision=Precision.FP16)
    steps: list[tuple[str, int, int]] = []
    report = measure(
        original, wrong, fast, progress=lambda *step: steps.append(step), accept_noise=True
    )

    assert [m.variant for m in report.measurements] == [
        "fp32 · onnxruntime",
        "fp16 · onnxruntime",
        "int8 · onnxruntime",
    ]
    assert report.chosen == "int8 · onnxruntime"
    assert [m.accuracy["top1"] for m in report.measurements] == [1.0, 0.0, 1.0]
    assert report.metric == "top1"
    assert report.of("fp16 · onnxruntime").checks[-1].verdict is Verdict.FAIL
    best = report.of("int8 · onnxruntime")
    assert best.speedup is not None
    assert best.speedup[0] > best.speedup[1] > 1.5
    assert best.artifact is fast
    assert best.latency.samples in (24, 48, 72), "a busy machine needs more rounds"
    assert best.checks[0].verdict is Verdict.NOT_EVALUATED, (
        "fewer than 130 calls are too few for a p95"
    )
    assert best.throughput_per_s is not None
    assert best.throughput_per_s > 10
    assert best.batch == 5
    assert best.images == 12
    assert best.peak_rss_mb is not None
    assert 30 < best.peak_rss_mb < 400
    assert report.noise_floor is not None
    assert report.environment["onnxruntime"]
    assert steps[-1] == ("measuring accuracy", 36, 36)
    assert ("timing rounds", 6, 6) in steps
    assert load(BenchmarkReport, dump(report)).of(best.variant).speedup == best.speedup
    assert workers() == []


def test_killed_workers_are_reported_and_the_others_go_on(
    measure: Callable[..., BenchmarkReport], make_classifier: Any
) -> None:
    original, other = (
        make_classifier("original"),
        make_classifier("other", precision=Precision.INT8),
    )
    third = make_classifier("third", precision=Precision.FP16)

    def kill_second_and_twin() -> None:
        _, second, _, twin = workers()
        second.kill()
        twin.kill()

    report = measure(original, other, third, progress=after_first_round(kill_second_and_twin))
    killed = report.of("int8 · onnxruntime")
    assert killed.error == "the worker process died of signal 9"
    assert killed.latency.p50_ms is None
    assert "int8 · onnxruntime: not measured: the worker process died of signal 9" in report.reasons
    assert [m.accuracy.get("top1") for m in report.measurements] == [1.0, None, 1.0]
    assert report.noise_floor is None
    assert report.chosen == "fp32 · onnxruntime", "without a noise floor nothing counts as faster"


def test_worker_that_hangs_is_given_up_after_the_time_limit() -> None:
    with Worker() as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        worker.send(Measure(calls=1, batches=1))
        with pytest.raises(WorkerFailedError, match=r"no answer within 0\.3 s"):
            worker.receive(Timings, 0.3)
    assert workers() == []


def test_file_that_does_not_load_is_reported_and_the_others_go_on(
    measure: Callable[..., BenchmarkReport], make_classifier: Any
) -> None:
    original, broken = (
        make_classifier("original"),
        make_classifier("broken", precision=Precision.INT8),
    )
    broken.path.write_bytes(b"not a model")
    report = measure(original, broken, rounds=1)
    assert "the file has changed" in report.measurements[1].error
    assert report.measurements[0].error == ""


def test_nothing_that_can_be_measured_is_an_error(
    measure: Callable[..., BenchmarkReport], make_classifier: Any
) -> None:
    broken = make_classifier("broken")
    broken.path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"fp32 · onnxruntime: .*the file has changed"):
        measure(broken)


def test_exception_on_the_way_leaves_no_process(
    measure: Callable[..., BenchmarkReport], make_classifier: Any
) -> None:
    def interrupt() -> None:
        assert len(workers()) == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(make_classifier("original"), progress=after_first_round(interrupt))
    assert workers() == []


@pytest.mark.parametrize("counts", [{"rounds": 0}, {"calls": 0}, {"batch": 0}])
def test_count_below_one_is_refused(counts: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(counts))):
        BenchmarkSettings(**counts)


def test_empty_dataset_is_refused(
    measure: Callable[..., BenchmarkReport], make_classifier: Any, pictures: Any
) -> None:
    with pytest.raises(DatasetError, match="labelled images"):
        measure(make_classifier("original"), dataset=type(pictures)(()))


def test_memory_is_the_workers_own_and_a_folder_called_components_does_not_mislead_it(
    make_classifier: Any, pictures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "__init__.py").write_text("raise RuntimeError('the wrong one')\n")
    monkeypatch.chdir(tmp_path)
    parents_own = np.ones(60_000_000)  # 480 MB
    with Worker() as worker:
        variant = Variant("original", make_classifier("original"), "onnxruntime")
        entries = TASKS[variant.artifact.spec.task], HEADS[variant.artifact.spec.head]
        worker.send(Open(variant, *entries, "cpu", 1, (pictures.images[0].path,), 1))
        assert worker.receive(Opened, 60).images == 1
        worker.send(Measure(calls=2, batches=1))
        timings = worker.receive(Timings, 60)
    assert (len(timings.calls_ms), len(timings.batches_ms)) == (2, 1)
    assert timings.peak_rss_mb is not None
    assert timings.peak_rss_mb < parents_own.nbytes / 1e6


def test_last_words_of_a_worker_that_ends_are_in_the_error(tmp_path: Path) -> None:
    with Worker() as worker:
        worker.send(Measure(calls=1, batches=1))
        with pytest.raises(WorkerFailedError, match="unexpected Measure"):
            worker.receive(Timings, 60)
        os.kill(worker.pid, signal.SIGINT)
        with pytest.raises(WorkerFailedError, match="died of signal 2: KeyboardInterrupt"):
            worker.receive(Timings, 60)


def test_a_perfect_model_is_right_whatever_order_its_classes_are_in(pictures, make_classifier):
    """The example of docs/howto/models.md: the model's class_names, folders as they sort."""
    sorted_names = ("blue", "green", "red")
    data = LabelledDataset(Path(), "val", "classify", sorted_names, pictures.images, "hash")
    model = make_classifier("model", turned=True, class_names=("red", "blue", "green"))
    assert evaluate(model, "onnxruntime", data)["top1"] == 1
    short = BenchmarkSettings().model_copy(update={"rounds": 1, "calls": 1})
    report = run_benchmark([model], target=ONNXRUNTIME, dataset=data, settings=short)
    assert report.measurements[0].accuracy["top1"] == 1
    strange = make_classifier("strange", class_names=("class_0", "class_1", "class_2"))
    with pytest.raises(IncompatibleError, match=r"found blue \(images: 4\)"):
        run_benchmark([strange], target=ONNXRUNTIME, dataset=data, settings=short)
