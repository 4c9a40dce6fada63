"""A moved or copied storage root: MLflow's database names artifact files by absolute addresses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from components.errors import RegistryError
from model_registry.failures import hint_of

_ADDRESSES = (  # table and column; what is below the former root comes below the new one
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_UPDATE = (  # of a table and its column
    "update {0} set {1} = :new || substr({1}, :rest)"
    " where {1} = :old or substr({1}, 1, :rest) = :below"
)
_BUSY_S = 10.0


def former_roots(database: Path, artifact_root: str) -> tuple[str, ...]:
    """List a database's artifact roots whose experiments have their files below another one.

    Arguments:
        database: MLflow's SQLite file.
        artifact_root: URI of the folder in which the artifacts are looked for.

    Returns:
        URIs, sorted; none for a store whose artifacts are where it says, on this machine or in an
        object store.
    """
    here = _folder(artifact_root)
    if here is None or not database.exists():
        return ()
    with _connected(database) as connection:
        if not connection.execute(
            "select 1 from sqlite_master where name = 'experiments'"
        ).fetchone():
            return ()
        found = [
            row[0] or "" for row in connection.execute("select artifact_location from experiments")
        ]
    former = (location.rstrip("/").rpartition("/") for location in found)
    return tuple(
        sorted(
            {
                root
                for root, _, name in former
                if root and root != artifact_root and _is_here(here, name)
            }
        )
    )


def require_in_place(database: Path, artifact_root: str) -> None:
    """Make sure that a store's artifacts are where its database says.

    Raises:
        RegistryError: the storage root was moved or copied.
    """
    if former := former_roots(database, artifact_root):
        raise RegistryError(
            f"a storage root where it was made, with its artifacts at {shown_folder(former[0])}",
            found=f"one that was moved or copied, as {database} has its own beside it",
            hint="foveal doctor --relocate, which writes the new place into its database",
        )


def relocate(database: Path, artifact_root: str) -> int:
    """Write where the artifacts are into a database, in one transaction.

    Returns how many addresses changed.

    Arguments:
        database: MLflow's SQLite file.
        artifact_root: URI of the folder in which the artifacts are.

    Raises:
        RegistryError: the database cannot be written.
    """
    changed = 0
    for former in former_roots(database, artifact_root):
        values = {
            "new": artifact_root,
            "old": former,
            "below": f"{former}/",
            "rest": len(former) + 1,
        }
        with _connected(database) as connection, connection:
            for place in _ADDRESSES:
                changed += connection.execute(_UPDATE.format(*place), values).rowcount
    return changed


@contextmanager
def _connected(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that is closed at the end; what the database fails with is one line."""
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY_S)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise RegistryError(
            "a SQLite database that can be read and written",
            found=f"{database}: {error}",
            hint=hint_of(str(error)),
        ) from error


def _is_here(folder: Path, name: str) -> bool:
    """Tell whether an experiment's files lie in a folder, by the last part of its address."""
    return (folder / unquote(name)).is_dir()


def _folder(uri: str) -> Path | None:
    """The folder that a file URI names; None for another kind of store."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def shown_folder(uri: str) -> str:
    """The folder that a file URI names, for people; the URI itself for another kind of store."""
    return str(_folder(uri) or uri)
