"""Checks of the storage: a writable root with room, whole databases, and a store within reach."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from components.errors import FovealError
from flows.doctor.finding import Finding, State, failed
from flows.runtime.settings import Settings
from model_registry import former_roots, relocate, shown_folder

LITTLE_GB, TOO_LITTLE_GB = 5.0, 0.5
_AHEAD_S = 60.0


def examine(settings: Settings) -> list[Finding]:
    """Look at the root, its databases and the clock that dates its files."""
    databases = (settings.prefect_home / "prefect.db", settings.registry_database)
    found = [
        *_root(settings.root),
        *(_database(path) for path in databases if path.exists()),
        _clock(databases),
    ]
    return [*found, *_place(settings)]


def mend_place(settings: Settings) -> Finding:
    """Write the place of a storage root that was moved or copied into its database.

    Raises:
        RegistryError: the database cannot be written.
    """
    if not settings.embedded_tracking or settings.artifact_root is None:
        return Finding(
            "place", State.OK, "MLFLOW_TRACKING_URI names a server, which keeps its own addresses"
        )
    changed = relocate(settings.registry_database, settings.artifact_root)
    place = shown_folder(settings.artifact_root)
    if not changed:
        return Finding(
            "place", State.OK, f"nothing to relocate: no artifact below {place} has another address"
        )
    found = f"relocated: {changed} addresses in {settings.registry_database} name {place} now"
    return Finding("place", State.OK, found)


def _place(settings: Settings) -> Iterator[Finding]:
    """Check that artifacts lie where the database says, and the root was not moved or copied."""
    if (
        not settings.embedded_tracking
        or settings.artifact_root is None
        or not settings.registry_database.exists()
    ):
        return
    try:
        former = former_roots(settings.registry_database, settings.artifact_root)
    except FovealError as error:
        if database_is_whole(settings):
            yield failed("place", error)
        return
    if former:
        found = (
            f"{settings.root} was moved or copied: its database names artifacts at "
            f"{shown_folder(former[0])}"
        )
        yield Finding("place", State.FAIL, found, "foveal doctor --relocate")
    else:
        yield Finding("place", State.OK, "MLflow's artifacts are where its database says")


def examine_store(settings: Settings) -> list[Finding]:
    """Write to, read from and remove from the monitoring store that the environment names."""
    from components.images.object_store import Folder

    if "FOVEAL_STORE" not in os.environ:
        return [Finding("store", State.OK, "below the root; FOVEAL_STORE names no other place")]
    place, content = f"_doctor-{uuid.uuid4().hex}", b"foveal doctor"
    try:
        folder = Folder(settings.store)
        folder.create(f"{place}/probe", content)
        same = folder.read_all([f"{place}/probe"]) == [content]
        folder.remove_folder(place)
    except FovealError as error:
        return [failed("store", error)]
    if not same:
        found = f"{settings.store} gives back other than what was written"
        return [Finding("store", State.FAIL, found, "choose another store")]
    return [Finding("store", State.OK, f"{settings.store} can be written and read")]


def examine_records(settings: Settings) -> list[Finding]:
    """Check that decision records are as written; nothing is made where no database is yet."""
    if settings.embedded_tracking and not settings.registry_database.exists():
        return []
    try:
        summaries = settings.registry().model_summaries()
    except FovealError as error:
        return [failed("decisions", error)] if database_is_whole(settings) else []
    broken = [f"{line} of {model.name}" for model in summaries for line in model.broken]
    if not broken:
        return [
            Finding(
                "decisions",
                State.OK,
                f"{len(summaries)} of {len(summaries)} records are as written",
            )
        ]
    hint = "find out who writes to MLflow; foveal promote or rollback by hand goes on from there"
    return [Finding("decisions", State.FAIL, f"{', '.join(broken[:5])}, outside of Foveal", hint)]


def database_is_whole(settings: Settings) -> bool:
    """Tell whether MLflow's own database can be read; only one finding reports a broken one."""
    database = settings.registry_database
    return (
        not (settings.embedded_tracking and database.exists())
        or _database(database).state is State.OK
    )


def _root(root: Path) -> Iterator[Finding]:
    place = next(path for path in (root, *root.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"foveal doctor")
            file.flush()
    except OSError as error:
        found = f"{place} cannot be written: {error.strerror}"
        yield Finding(
            "root",
            State.FAIL,
            found,
            "name a folder of your own with FOVEAL_HOME, or mend its permissions",
        )
        return
    yield Finding("root", State.OK, str(root) if root == place else f"{root}, made when needed")
    free_gb = shutil.disk_usage(place).free / 1e9
    state = (
        State.FAIL if free_gb < TOO_LITTLE_GB else State.WARN if free_gb < LITTLE_GB else State.OK
    )
    hint = (
        ""
        if state is State.OK
        else "free some, or name another disk with FOVEAL_HOME; steps/ in the root can go"
    )
    yield Finding("disk", state, f"{free_gb:.1f} GB free at {place}", hint)


def _database(path: Path) -> Finding:
    try:
        with closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)
        ) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict == "ok":
        return Finding(path.name, State.OK, f"whole, {path.stat().st_size / 1e6:.1f} MB")
    if "locked" in verdict or "busy" in verdict:
        return Finding(
            path.name, State.WARN, f"{path}: {verdict}", "find who holds it: fuser -v on the file"
        )
    hint = (
        f"stop everything that uses it, then bring {path.name} back from a backup, or move it "
        "aside to begin anew"
    )
    return Finding(path.name, State.FAIL, f"{path}: {verdict.splitlines()[-1]}", hint)


def _clock(databases: tuple[Path, ...]) -> Finding:
    """Check that the clock is not behind the last write to the databases."""
    now = time.time()
    ahead_s = max((path.stat().st_mtime - now for path in databases if path.exists()), default=0.0)
    shown = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    if ahead_s > _AHEAD_S:
        found = f"{shown}, but the root was last written {ahead_s:.0f} s later than that"
        return Finding(
            "clock", State.WARN, found, "set the clock, and switch time synchronisation (NTP) on"
        )
    return Finding("clock", State.OK, shown)
