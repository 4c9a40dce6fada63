"""A finished run on disk, two tables and `run.json`, just made by a model or asked of the store.

A table is one Parquet file, or a folder of parts where the run is large.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from components.contracts import InferenceRun, dump, load
from components.errors import ConfigError, DatasetError
from components.files import is_whole
from components.runs.parts import holds_parts_alone, part_name

RUN, IMAGES, DETECTIONS = "run.json", "images.parquet", "detections.parquet"
FILES = frozenset({RUN, IMAGES, DETECTIONS})
_FOLDERS = frozenset({"images", "detections"})  # of parts


def load_run(folder: Path) -> InferenceRun:
    """Read back a finished run from where it is now, moved or not.

    Raises:
        DatasetError: there is no finished run in `folder`, or a file of it is damaged.
    """
    _require_files(folder, [RUN])
    return _read(folder)[0]


def table_files(run: InferenceRun) -> list[str]:
    """Names of the files that hold a run's tables, relative to its folder."""
    if not run.parts:
        return [IMAGES, DETECTIONS]
    numbers = range(run.parts)
    return [
        f"{table.name}/{part_name(k)}" for table in (run.images, run.detections) for k in numbers
    ]


def _require_files(folder: Path, names: Sequence[str]) -> None:
    if missing := sorted(name for name in names if not (folder / name).is_file()):
        more = " and more" if len(missing) > 3 else ""
        raise DatasetError(
            "the folder of a finished run",
            found=f"{folder} without {', '.join(missing[:3])}{more}",
            hint="run it again",
        )


def _read(folder: Path) -> tuple[InferenceRun, str]:
    path = folder / RUN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        run, key = replace(load(InferenceRun, content["run"]), folder=folder), str(content["key"])
        sizes = content.get("bytes", {})  # a run of an older Foveal does not say
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"the {RUN} of a finished run", found=f"{path}: {error}", hint="run it again"
        ) from error
    _require_files(folder, table_files(run))
    for name in table_files(run):
        table = folder / name
        if not is_whole(table) or sizes.get(name, table.stat().st_size) != table.stat().st_size:
            raise DatasetError(
                "the whole tables of a finished run", found=f"{table}, damaged", hint="run it again"
            )
    return run, key


def write_run(folder: Path, run: InferenceRun, key: str, details: Mapping[str, object]) -> None:
    """Write `run.json`, last: it tells the sizes of the tables, which are there already.

    Arguments:
        folder: where; it need not be where the run says that it is going to be.
        run: what is told.
        key: hash of everything that the results depend on.
        details: what the run was made with, for people.
    """
    sizes = {name: (folder / name).stat().st_size for name in table_files(run)}
    content = {"key": key, "made_with": dict(details), "run": dump(run), "bytes": sizes}
    (folder / RUN).write_text(
        json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )


def finished_run(folder: Path, key: str) -> InferenceRun | None:
    """The run that `folder` holds when it is complete and has this very key, else None."""
    try:
        run, found = _read(folder)
    except DatasetError:
        return None
    return run if found == key else None


def check_replaceable(output: Path) -> None:
    """Make sure that nothing but an earlier run is lost when `output` is replaced.

    Raises:
        ConfigError: it is a file, or a folder that holds other things.
    """
    if not output.exists():
        return
    if not output.is_dir():
        raise ConfigError(
            "a folder to write the run to", found=f"a file: {output}", hint="give another output"
        )
    foreign = sorted(path.name for path in output.iterdir() if not _is_ours(path))
    if foreign:
        raise ConfigError(
            "an output folder that is new, empty or holds an earlier batch run only",
            found=f"{output} with "
            f"{', '.join(foreign[:3])}{' and more' if len(foreign) > 3 else ''}",
            hint="give another output: this one would be replaced",
        )


def _is_ours(path: Path) -> bool:
    """Tell whether an entry of an output folder is of a run; a folder of pictures is not."""
    return path.name in FILES or (path.name in _FOLDERS and holds_parts_alone(path))
