"""All README and documentation commands that can run here, as they stand, in their own layout.

The layout: `best.pt`, `parts.yaml` and `foveal.yaml` as in the README, the dataset `parts/`, and
folders of images. `tests/documented.py` lists what is not run, and why; anything else runs, a new
line too.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.datasets.scenes import SceneCounts, write_detection_dataset
from flows.runtime.processes import answers, free_port
from tests.conftest import COMMAND, LIMIT_S, MODEL, clean_environment, prefect_server
from tests.documented import PAGES, Command, commands, fences, why_not_run
from tests.warm import warm

# Less to measure: one backend and precision, and as few calls as decide anything.
TARGET = (
    'description = "FP32"\nbackends = ["onnxruntime"]\nprecisions = ["fp32"]\ndevice = '
    '"cpu"\nthreads = 0\n'
)
CHEAP = "target: quick.toml\nbenchmark: {rounds: 6, calls: 22}\n"
PORTS = {name: free_port() for name in ("metrics", "serve")}

# What a command is given beside what stands in the page: other ports than those that may be taken,
# dates of which there are images, and less to measure.
CHANGED: dict[str, Callable[[re.Match[str]], str]] = {
    r"^foveal metrics$": lambda found: f"{found[0]} --port {PORTS['metrics']}",
    r"(?<=[ :])5001\b": lambda _: str(PORTS["serve"]),
    r"--since \S+ --until \S+": lambda _: f"--since {_days(-2)} --until {_days(2)}",
    r'DataInput\(labelled="parts/data\.yaml"\)': lambda found: (
        f'{found[0]}, target="quick.toml", promote="never"'
    ),
    r"model\.predict\(batch": lambda _: (
        "import cv2; batch = cv2.imread('shot.jpg')[None]; model.predict(batch"
    ),
}

# Exit codes other than 0 that the pages give a meaning.
EXITS = {r"^foveal gates ": {0, 1}, r"^foveal doctor": {0, 1}}

# What is said where an exit code of 0 does not say that it worked.
SAYS = {
    r"^curl ": '"predictions"',
    r"^foveal predict ": "0 failed",
    r"^foveal labels import ": "labels added",
}

# Commands that run until they are stopped, and which address answers when they are ready.
LASTING = {
    r"^foveal metrics": f"http://127.0.0.1:{PORTS['metrics']}/metrics",
    r"^mlflow models serve": f"http://127.0.0.1:{PORTS['serve']}/ping",
}

_ONE_FOVEAL = re.compile(r"foveal [^$`&|;<>*?]*$")  # nothing of it is the shell's

STOPPED = (0, 1, 130, -signal.SIGINT)  # exit codes after Ctrl-C; MLflow's server ends with 1
# until the end of its page, as the lines after it ask it; others are stopped when ready
STAYS = "mlflow models serve"


def _days(ahead: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=ahead):%Y-%m-%d}"


@dataclass
class Place:
    """A user's folder, and the shell that is open in it."""

    folder: Path
    environment: dict[str, str]
    lasting: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, command: Command) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, as a person would."""
        if command.language == "bash" and _ONE_FOVEAL.match(command.text):
            return warm().run(
                shlex.split(command.text)[1:],
                env=self.shell(command),
                cwd=self.cwd(command),
                timeout=LIMIT_S,
            )
        program = (
            ["bash", "-c", command.text]
            if command.language == "bash"
            else [sys.executable, "-c", command.text]
        )
        return subprocess.run(
            program,
            cwd=self.cwd(command),
            env=self.shell(command),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )

    def foveal(self, *arguments: str) -> None:
        """Do what happens between two pages."""
        done = warm().run(arguments, env=self.environment, cwd=self.folder, timeout=LIMIT_S)
        done.check_returncode()

    def begin(self, command: Command, ready: str) -> str:
        """Start a lasting command, wait until an address answers; return why, if it ends."""
        with (self.folder / "said.txt").open("w+") as said:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command.text}"],
                cwd=self.folder,
                env=self.shell(command),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.lasting.append(process)
            while process.poll() is None:
                if answers(ready):
                    return ""
                time.sleep(0.2)
        return (
            f"{command.text}: ended with {process.returncode}: "
            f"{Path(said.name).read_text()[-2000:]}"
        )

    def stop(self) -> str:
        """Press Ctrl-C in all that lasts; what is wrong with how it ended."""
        wrong = []
        for process in self.lasting:
            os.killpg(process.pid, signal.SIGINT)
            if process.wait(timeout=300) not in STOPPED:
                wrong.append(f"{process.args} ended with {process.returncode} after Ctrl-C")
        self.lasting.clear()
        return "; ".join(wrong)

    def cwd(self, command: Command) -> Path:
        return self.folder / "device" if command.text.startswith("python run.py") else self.folder

    def shell(self, command: Command) -> dict[str, str]:
        """The environment with what the block of a command exported before it."""
        lines = "\n".join((*command.exported, "env -0"))
        said = subprocess.run(
            ["bash", "-c", lines], env=self.environment, capture_output=True, text=True, check=True
        )
        return dict(one.split("=", 1) for one in said.stdout.split("\0") if "=" in one)


def write_layout(folder: Path) -> None:
    """Make the folder that the pages speak of, of digits in the place of parts."""
    made = write_detection_dataset(
        folder.parent / "made",
        counts=SceneCounts(
            train=16, calibration=1, validation=32, golden=1, day=40, night=1, next_night=1
        ),
        seed=11,
    )
    names = yaml.safe_load(made.read_text())["names"]

    def images(split: str, first: int, last: int, place: str) -> None:
        (folder / place).mkdir(parents=True)
        for path in sorted((made.parent / "images" / split).iterdir())[first:last]:
            shutil.copy(path, folder / place)

    def labelled(place: str, **splits: str) -> None:
        for name, split in splits.items():
            for kind in ("images", "labels"):
                shutil.copytree(made.parent / kind / split, folder / place / kind / name)
        described = {"names": names, **{name: f"images/{name}" for name in splits}}
        (folder / place / "data.yaml").write_text(yaml.safe_dump(described))

    labelled("parts", train="train", val="val")
    labelled("checked", val="day")
    images("day", 0, 16, "incoming")
    images("day", 16, 24, "tonight")
    images("val", 0, 8, "shots")
    shutil.copy(folder / "shots" / "val_00000.jpg", folder / "shot.jpg")
    files = [path.relative_to(folder).as_posix() for path in sorted((folder / "shots").iterdir())]
    listed = pa.table({"file": files, "camera": [number % 2 for number in range(len(files))]})
    pq.write_table(listed, folder / "shots.parquet")
    shutil.copy(MODEL, folder / "best.pt")
    (folder / "quick.toml").write_text(TARGET)
    release, deployments = (text for language, text in fences("README.md") if language == "yaml")
    (folder / "parts.yaml").write_text(release + CHEAP)
    (folder / "foveal.yaml").write_text(deployments)
    (pipeline,) = (
        text for language, text in fences("docs/howto/ensembles.md") if language == "yaml"
    )
    (folder / "pipeline.yaml").write_text(pipeline)


# What people or other tools do between the lines, before the first command that a pattern fits.


def export_model(place: Place) -> None:
    """Somebody has a detector as ONNX."""
    shutil.copy(
        place.folder / ".foveal/releases/parts/1/bundle/model.onnx", place.folder / "best.onnx"
    )


def new_folder(place: Place) -> None:
    """Labels are exported into a new folder."""
    shutil.rmtree(place.folder / "to-label", ignore_errors=True)


def label(place: Place) -> None:
    """A person looks at each image in Label Studio, and takes the model's labels for right."""
    tasks = place.folder / "to-label" / "tasks.json"
    looked_at = [
        {**task, "annotations": task.pop("predictions")} for task in json.loads(tasks.read_text())
    ]
    assert looked_at
    tasks.write_text(json.dumps(looked_at))


def promote_second(place: Place) -> None:
    """Version 2 has become the champion meanwhile."""
    place.foveal("promote", "parts/2")


def train_screws(place: Place) -> None:
    """Somebody has trained a network of torchvision."""
    import torch
    from torchvision.models import resnet18

    torch.save(resnet18(num_classes=3).state_dict(), place.folder / "screws.pth")


def unpack_on_device(place: Place) -> None:
    """The bundle's zip is copied to the device and unpacked."""
    with zipfile.ZipFile(place.folder / ".foveal/releases/parts/1/parts.zip") as bundle:
        bundle.extractall(place.folder / "device")


def take_shot(place: Place) -> None:
    """The device's camera writes an image."""
    shutil.copy(place.folder / "shot.jpg", place.folder / "device")


BEFORE: dict[str, Callable[[Place], None]] = {
    r"best\.onnx": export_model,
    r"^foveal labels export ": new_folder,
    r"^foveal labels import ": label,
    r"^foveal rollback ": promote_second,
    r"screws\.pth": train_screws,
    r"^python run\.py --verify": unpack_on_device,
    r"^python run\.py shot": take_shot,
}


def changed(command: Command) -> Command:
    """A command as it is run here."""
    text = command.text
    for pattern, change in CHANGED.items():
        text = re.sub(pattern, change, text)
    return Command(command.page, command.language, text, command.exported)


def to_run(page: str) -> list[tuple[Command, Command]]:
    """List a page's commands to run, as written and as run, unless an earlier page has them."""
    seen = {command.text for earlier in PAGES[: PAGES.index(page)] for command in commands(earlier)}
    new = {command.text: command for command in commands(page) if command.text not in seen}
    listed = (
        one for one in new.values() if not one.text.startswith("export ") and not why_not_run(one)
    )
    return [(command, changed(command)) for command in listed]


def attempt(place: Place, command: Command, run: Command) -> str:
    """Run a command, and say what was wrong; empty if nothing was."""
    for pattern, happens in BEFORE.items():
        if re.search(pattern, command.text):
            happens(place)
    for pattern, ready in LASTING.items():
        if re.search(pattern, run.text):
            return place.begin(run, ready) or (
                "" if command.text.startswith(STAYS) else place.stop()
            )
    done = place.run(run)
    wanted = next((codes for pattern, codes in EXITS.items() if re.search(pattern, run.text)), {0})
    says = next((words for pattern, words in SAYS.items() if re.search(pattern, run.text)), "")
    if done.returncode in wanted and "Traceback" not in done.stderr and says in done.stdout:
        return ""
    return (
        f"{command.page}: {run.text}: exit {done.returncode}: "
        f"{done.stdout[-500:]}{done.stderr[-1500:]}"
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The user's folder; it is the same for all pages, which are tried in their order."""
    folder = tmp_path_factory.mktemp("user") / "work"
    folder.mkdir()
    write_layout(folder)
    environment = clean_environment(folder / ".foveal")
    del environment["FOVEAL_HOME"]
    environment["PATH"] = f"{COMMAND.parent}{os.pathsep}{environment['PATH']}"
    made = Place(folder, environment)
    with prefect_server(folder / ".foveal"):
        yield made
        made.stop()


@pytest.mark.timeout(5400)  # the README has 20 commands
@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page)])
def test_every_command_of_a_page_runs_in_the_layout_that_it_describes(
    place: Place, page: str
) -> None:
    wrong = [attempt(place, command, run) for command, run in to_run(page)]
    wrong.append(place.stop())
    assert not any(wrong), "\n\n".join(filter(None, wrong))
