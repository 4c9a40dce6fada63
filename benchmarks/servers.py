"""The whole chain on PostgreSQL and an S3 store, with Prefect and MLflow behind passwords."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, conclude
from benchmarks.services import BUCKET, Services, missing, services
from benchmarks.subject import scratch
from components.datasets.scenes import SceneCounts, write_detection_dataset
from components.errors import UnavailableError
from components.telemetry import SWITCHES
from flows.config.demo import MODEL

COUNTS = SceneCounts(
    train=8, calibration=8, validation=60, golden=4, day=55, night=55, next_night=0
)
NAME = "digits"
DAY, NIGHT = f"s3://{BUCKET}/shots/day", f"s3://{BUCKET}/shots/night"
TARGET = (
    'description = "one backend"\nbackends = ["onnxruntime"]\ndevice = "cpu"\nthreads = '
    '0\nprecisions = ["fp32"]\n'
)
CONFIG = """name: {name}
model: {{path: {model}, trust_pickle: true}}
data:
  labelled: {data}
  images: {images}
  calibration_split: calibration
  calibration_images: 8
  golden_split: golden
  golden_images: 2
target: target.toml
thresholds: {{confidence: {confidence}}}
promote: {promote}
benchmark: {{rounds: 6, calls: 22}}
"""


@dataclass(frozen=True)
class Machine:
    """A computer with nothing but Foveal and the addresses of the services, and files of its own.

    Arguments:
        folder: its storage root and working directory.
        services: what it uses.
    """

    folder: Path
    services: Services

    @staticmethod
    def clean(services: Services) -> dict[str, str]:
        """An environment that names the services, without what else this process was told."""
        ours = ("PREFECT_", "MLFLOW_", "FOVEAL_", "AWS_")
        rest = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        return rest | SWITCHES | dict(services.environment)

    @property
    def environment(self) -> dict[str, str]:
        """Environment of its commands."""
        return self.clean(self.services) | {"FOVEAL_HOME": str(self.folder / "home")}

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Begin a command."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(  # noqa: S603 - our own command
            [Path(sys.executable).with_name("foveal"), *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def foveal(self, *arguments: str | Path) -> Any:
        """Run a command and return its JSON; the bench ends with its words when it fails."""
        process = self.start(*arguments, "--json")
        out, problems = process.communicate(timeout=500)
        if process.returncode:
            sys.exit(
                f"foveal {arguments[0]}: exit {process.returncode}: {problems.strip()[-2000:]}"
            )
        return json.loads(out)


def upload(store: Services, images: Path, *, most: int) -> None:
    """Put so many images of a day and of a night where cameras would."""
    bucket = store.bucket()
    for split, place in (("day", DAY), ("night", NIGHT)):
        for image in sorted((images / split).iterdir())[:most]:
            bucket.put_file(str(image), f"{place.removeprefix('s3://')}/{image.name}")


def run_chain(machines: tuple[Machine, Machine], data: Path) -> dict[str, Any]:
    """Run the chain of steps on two machines; return what each step said, by name.

    The steps are a release, a night, a look by hand, a second version, a promotion, a roll-back and
    a prediction.

    Arguments:
        machines: the one that releases, and another one that shares nothing with it but the
            services.
        data: the dataset's data.yaml, whose images have been uploaded.
    """
    one, other = machines
    one.folder.mkdir(parents=True, exist_ok=True)
    (one.folder / "target.toml").write_text(TARGET)
    for number, (promote, confidence) in enumerate((("verified", 0.25), ("never", 0.3)), 1):
        text = CONFIG.format(
            name=NAME, model=MODEL, data=data, images=DAY, confidence=confidence, promote=promote
        )
        (one.folder / f"{number}.yaml").write_text(text)
    said = {
        "release": one.foveal("release", "1.yaml"),
        "nightly": other.foveal("nightly", NAME, "--images", DAY),
    }
    said["again"] = one.foveal("nightly", NAME, "--images", DAY)
    said["monitor"] = other.foveal("monitor", NAME, "--images", NIGHT)
    said["challenger"] = one.foveal("release", "2.yaml")
    said["promote"] = other.foveal("promote", f"{NAME}/2", "--reason", "tried")
    said["rollback"] = one.foveal("rollback", NAME)
    said["history"] = other.foveal("history", NAME)
    said["predict"] = other.foveal("predict", f"{NAME}@champion", DAY, "--output", "predictions")
    return said


def measure() -> Figure:
    """The chain by the command line, from two places that share nothing but the servers."""
    if reason := missing():
        raise UnavailableError("PostgreSQL to run the chain on", found=reason)
    with scratch() as name, services() as running:
        folder = Path(name)
        data = write_detection_dataset(folder / "digits", counts=COUNTS)
        upload(running, data.parent / "images", most=COUNTS.day)
        started = time.perf_counter()
        said = run_chain(
            (Machine(folder / "one", running), Machine(folder / "other", running)), data
        )
        seconds = time.perf_counter() - started
        rows, objects = running.rows(), running.objects()
    done = [step["decision"]["outcome"] for step in said["history"]]
    registered = rows["versions"] == 2 and done == ["promoted", "promoted", "rolled_back"]
    kept = (
        said["again"]["window"] is None
        and objects.get("monitoring", 0) > 0
        and objects.get("mlflow", 0) > 0
    )
    answered = said["predict"]["processed"] == COUNTS.day and rows["flow runs"] == 5
    details = (
        "in PostgreSQL: " + ", ".join(f"{count} {what}" for what, count in rows.items()),
        "objects in S3: " + ", ".join(f"{count} {what}" for what, count in sorted(objects.items())),
        f"windows: {said['nightly']['window']['state']} by day, "
        f"{said['monitor']['window']['state']} by night",
    )
    text = (
        f"{len(said)} commands from 2 places in {seconds:.0f} s, {rows['versions']} versions, "
        f"decisions {done}"
    )
    bar = "chain finished, all registered"
    return Figure("servers", text, bar, registered and kept and answered, details)


if __name__ == "__main__":
    conclude(measure)
