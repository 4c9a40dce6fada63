"""A folder with an A/B test over days: what is compared, every image run, once, and its scores.

experiment.json           what is compared and how: settled when the test begins batches/0001/A, …/B
the tables of each arm, as `run_batch` writes them scores.parquet            a row for each image
that a label came for, in the order in which it was scored
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.contracts import AbMode, InferenceRun, dump
from components.errors import ConfigError, DatasetError
from components.files import flush_folder, make_folder, replacing, write_json
from components.images.sources import ImageSource
from components.inference.ab.split import Arm, assign_arm, position
from components.inference.lock import exclusive
from components.runs.finished import load_run

DESIGN, SCORES, BATCHES, NEXT, PLAN = (
    "experiment.json",
    "scores.parquet",
    "batches",
    "next",
    "plan.json",
)


@dataclass(frozen=True)
class Design:
    """Design of an A/B test: what it compares and how; it does not change while the test runs.

    Arguments:
        a: version A, by name and the hash of its file.
        b: version B, likewise.
        mode: shadow or split.
        share: of the images that B sees in a split.
        salt: of the hash that divides and orders the images.
        delta: δ, the smallest difference that matters.
        sequential: it may be judged at any time.
        samples: the fixed number of images, or None.
    """

    a: str
    b: str
    mode: AbMode
    share: float
    salt: str
    delta: float
    sequential: bool
    samples: int | None


class Experiment:
    """One test's folder, held by this process; see `opened`."""

    def __init__(self, folder: Path, design: Design) -> None:
        self.folder, self.design = folder, design
        self._uris: dict[
            tuple[str, str], str
        ] = {}  # of addresses that are kept without their secrets

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, design: Design) -> Iterator[Experiment]:
        """Begin a test, or go on with it.

        Raises:
            ConfigError: the folder holds another test, or another process works on it.
        """
        folder = Path(folder).resolve()
        with exclusive(folder):
            path = folder / DESIGN
            if path.exists():
                _require_same(_read(path), design, folder)
            else:
                write_json(path, dump(design))
            yield cls(folder, design)

    def plan(self, sources: Sequence[ImageSource]) -> int:
        """Settle which of these images are new, and which arm sees them; how many are new.

        An image whose id has been run before is not run again.
        """
        known = {
            image_id for runs in self.batches() for run in runs.values() for image_id in _ids(run)
        }
        fresh = sorted(
            (s for s in sources if s.image_id not in known), key=lambda s: self._place(s.image_id)
        )
        if fresh:
            self._uris = {(s.image_id, s.address): s.uri for s in fresh}
            parts = {
                arm.value: [[s.image_id, s.address, s.state] for s in fresh if self._sees(arm, s)]
                for arm in Arm
            }
            write_json(self.folder / NEXT / PLAN, parts)
        return len(fresh)

    def sources(self, arm: Arm) -> list[ImageSource]:
        """The images that were planned for an arm."""
        planned = json.loads((self.folder / NEXT / PLAN).read_text(encoding="utf-8"))
        rows = planned[arm.value]
        return [
            ImageSource(name, self._uris.get((name, uri), uri), state) for name, uri, state in rows
        ]

    def output(self, arm: Arm) -> Path:
        """Return the folder of the arm's tables of the planned images."""
        return self.folder / NEXT / arm.value

    def keep(self) -> None:
        """Count the planned images in, once both arms have run."""
        for arm in Arm:
            load_run(self.output(arm))
        number = len(self._folders()) + 1
        make_folder(self.folder / BATCHES)
        os.replace(self.folder / NEXT, self.folder / BATCHES / f"{number:04d}")
        flush_folder(self.folder / BATCHES)

    def batches(self) -> list[dict[Arm, InferenceRun]]:
        """All runs that count, oldest first."""
        return [{arm: load_run(folder / arm.value) for arm in Arm} for folder in self._folders()]

    def scores(self) -> tuple[list[str], npt.NDArray[np.float64]]:
        """Return ids, and (n, 2) scores of A and B in the order in which they came.

        A score is NaN where an arm did not see the image.
        """
        import pyarrow.parquet as pq

        if not (self.folder / SCORES).exists():
            return [], np.zeros((0, 2))
        table = pq.read_table(self.folder / SCORES)
        columns = [table[name].to_numpy(zero_copy_only=False) for name in ("score_a", "score_b")]
        return table["image_id"].to_pylist(), np.stack(columns, axis=1).astype(np.float64)

    def add_scores(self, found: Mapping[str, tuple[float, float]]) -> None:
        """Append scores, in an order by chance in which their values have no part.

        An image that has a score keeps it.

        Arguments:
            found: image id → scores of A and B; NaN for an arm that did not see the image.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        ids, values = self.scores()
        fresh = sorted(found.keys() - set(ids), key=self._place)
        if not fresh:
            return
        more = np.array([found[image_id] for image_id in fresh], np.float64)
        a, b = np.concatenate([values, more]).T
        table = pa.table(
            {
                "image_id": [*ids, *fresh],
                "score_a": pa.array(a, from_pandas=True),
                "score_b": pa.array(b, from_pandas=True),
            }
        )
        with replacing(self.folder / SCORES) as aside:
            pq.write_table(table, aside, compression="zstd")

    def _sees(self, arm: Arm, source: ImageSource) -> bool:
        design = self.design
        return (
            design.mode is AbMode.SHADOW
            or assign_arm(source.image_id, share=design.share, salt=design.salt) is arm
        )

    def _place(self, image_id: str) -> tuple[float, str]:
        return position(image_id, self.design.salt), image_id

    def _folders(self) -> list[Path]:
        return sorted((self.folder / BATCHES).glob("[0-9]*"))


def _ids(run: InferenceRun) -> list[str]:
    import pyarrow.parquet as pq

    ids: list[str] = pq.read_table(run.images, columns=["image_id"])["image_id"].to_pylist()
    return ids


def _read(path: Path) -> dict[str, object]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DatasetError("the description of an A/B test", found=f"{path}: {error}") from error


def _require_same(begun: Mapping[str, object], asked: Design, folder: Path) -> None:
    wanted = dump(asked)
    differ = [field.name for field in fields(Design) if begun.get(field.name) != wanted[field.name]]
    if differ:
        raise ConfigError(
            f"the test that was begun in {folder}, with {_listing(begun, differ)}",
            found=_listing(wanted, differ),
            hint="begin another test with --experiment NAME: a plan that changes after a look "
            "proves nothing",
        )


def _listing(values: Mapping[str, object], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {values.get(name)}" for name in names)
