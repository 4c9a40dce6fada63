"""Shared parts: one small dataset and one release by command line, for all tests that use them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from components import telemetry
from tests.network import Watched, recorded
from tests.warm import warm

telemetry.switch_off()
# two workers share the cores: threads of torch that wait for each other hold up all else
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a shell that starts us in the background has it ignored
signal.signal(signal.SIGINT, signal.default_int_handler)

# a busy machine is no failure
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

LIMIT_S = 1500  # for what takes a minute on an idle machine
COMMAND = Path(sys.executable).parent / "foveal"
ROOT = Path(__file__).parents[1]
MODEL = ROOT / "flows" / "assets" / "digits.pt"


def clean_environment(root: Path) -> dict[str, str]:
    """Return this environment with its own storage root, without what sends commands elsewhere."""
    ours = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "MLFLOW_", "FOVEAL_"))
    }
    return ours | telemetry.SWITCHES | {"FOVEAL_HOME": str(root)}


def foveal(
    *arguments: str | Path, root: Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the `foveal` command as a user; progress lines, which depend on time, are left out."""
    done = warm().run([*map(str, arguments)], env=clean_environment(root), cwd=cwd, timeout=LIMIT_S)
    done.stderr = re.sub(r"^\d+:\d\d .*\n", "", done.stderr, flags=re.MULTILINE)
    return done


_PROGRESS = re.compile(r"note: |\d+:\d\d ")


def complaints(stderr: str) -> list[str]:
    """The lines of a command's standard error that are neither its progress nor a note."""
    return [line for line in stderr.splitlines() if not _PROGRESS.match(line)]


@cache
def _release_of(file: str) -> str:
    """The release that a file's tests share, or else the file."""
    text = (ROOT / file).read_text()
    names = (
        name for name in ("released_classifier", "released") if re.search(rf"\b{name}\b", text)
    )
    return next(names, file) if file.startswith("tests/e2e/") else file


class _ByRelease(LoadScopeScheduling):
    """Gives a file to one process, and all files over one slow release to one."""

    def _split_scope(self, nodeid: str) -> str:
        return _release_of(nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """How `pytest -n 2` shares the tests out."""
    return _ByRelease(config, log)


@dataclass(frozen=True)
class Released:
    """A finished release over small splits.

    Arguments:
        root: the storage root.
        data: folder of the dataset.
        config: the YAML file.
        said: what `foveal release --json` printed.
        watched: the release as the network saw it; its home folder is `user` beside the root.
    """

    root: Path
    data: Path
    config: Path
    said: dict[str, Any]
    watched: Watched

    def foveal(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Another command over the same storage root."""
        return foveal(*arguments, root=self.root, cwd=self.root.parent)


SERVE = """
import sys
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()):
    print("serving", flush=True)
    sys.stdin.read()
"""


@contextmanager
def prefect_server(root: Path) -> Iterator[None]:
    """Keep the Prefect server of a storage root up, so that the commands of many tests share it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env=clean_environment(root),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "serving\n"
    yield
    process.communicate(timeout=300)


def release(root: Path, config: Path, data: Path) -> Iterator[Released]:
    """Release by command line, off the network, then keep Prefect up while somebody looks."""
    home = root.parent / "user"
    home.mkdir()
    command = [COMMAND, "release", config, "--json"]
    (done,) = recorded(
        [command], env=clean_environment(root) | {"HOME": str(home)}, cwd=root.parent
    )
    assert done.returncode == 0, done.stderr
    with prefect_server(root):
        yield Released(root, data, config, json.loads(done.stdout), done)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """A small digit dataset; returns its data.yaml."""
    from components.datasets.scenes import SceneCounts, write_detection_dataset

    counts = SceneCounts(
        train=24, calibration=32, validation=80, golden=6, day=80, night=80, next_night=2
    )
    return write_detection_dataset(
        tmp_path_factory.mktemp("scenes") / "digits", counts=counts, seed=3
    )


@pytest.fixture(scope="session")
def released(tmp_path_factory, scenes) -> Iterator[Released]:
    """The shipped detector, released once for the whole session."""
    folder = tmp_path_factory.mktemp("released")
    target = tmp_path_factory.mktemp("target") / "pair.toml"
    target.write_text(
        'description = "CPU backends"\nbackends = ["onnxruntime", "openvino"]\ndevice = "cpu"\n'
        'threads = 0\nprecisions = ["fp32", "int8"]\n'
    )
    config = folder / "digits.yaml"
    config.write_text(
        "name: digits\n"
        f"model: {{path: {MODEL}, trust_pickle: true}}\n"
        "data:\n"
        f"  labelled: {scenes}\n"
        f"  images: {scenes.parent}/images/day\n"
        "  calibration_split: calibration\n"
        "  calibration_images: 16\n"
        "  golden_split: golden\n"
        "  golden_images: 3\n"
        f"target: {target}\nbenchmark: {{rounds: 6, calls: 22}}\n"
    )
    yield from release(folder / "home", config, scenes.parent)


@pytest.fixture(scope="session")
def trained_classifier(tmp_path_factory) -> Any:
    """A small network, trained for a few seconds on digit crops; its folder holds `crops` too."""
    from components.datasets.scenes import write_classification_dataset
    from components.training import ClassifierTraining, train_classifier

    folder = tmp_path_factory.mktemp("classifier")
    data = write_classification_dataset(folder / "crops", size=32)
    return train_classifier(
        data, folder / "trained", training=ClassifierTraining(image_size=32, epochs=4)
    )


@pytest.fixture(scope="session")
def released_classifier(trained_classifier) -> Iterator[Released]:
    """The small classifier, released once for the whole session."""
    folder = trained_classifier.checkpoint.parents[1]
    (folder / "target.toml").write_text(
        'description = "one backend, two precisions"\nbackends = ["onnxruntime"]\ndevice = '
        '"cpu"\nthreads = 0\n'
        'precisions = ["fp32", "int8"]\n'
    )
    config = folder / "crops.yaml"
    config.write_text(
        "name: crops\n"
        "model: {path: trained/model.pt}\n"
        "data: {labelled: crops, images: crops/day, calibration_split: calibration, "
        "calibration_images: 64}\n"
        "target: target.toml\nbenchmark: {rounds: 6, calls: 22}\n"
    )
    yield from release(folder / "home", config, folder / "crops")


@pytest.fixture
def command(tmp_path):
    """Run `foveal` on an empty root, in an empty folder: ``command("release", "x.yaml")``."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    return lambda *arguments: foveal(*arguments, root=tmp_path / "home", cwd=folder)


@pytest.fixture(scope="session")
def servers() -> Iterator[Any]:
    """Start PostgreSQL, S3, MLflow, Prefect with passwords, as `benchmarks.services.Services`."""
    from benchmarks.services import missing, services

    if reason := missing():
        pytest.skip(reason)
    with services() as running:
        yield running


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start():
    """Start `foveal` and go on: ``start("nightly", "digits", …, root=…)``; kill it at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path, root: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [COMMAND, *map(str, arguments)],
            env=clean_environment(root),
            cwd=root.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
