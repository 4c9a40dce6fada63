"""Opening MLflow's store, embedded SQLite or a server, with nothing in the working directory."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from filelock import FileLock

from components import telemetry
from components.errors import ConfigError, RegistryError, UnavailableError
from components.files import replacing
from model_registry.failures import hint_of, mlflow_errors
from model_registry.relocation import require_in_place

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SERVERS = ("http", "https")
_DATABASES = ("postgresql", "mysql", "mssql")
_CONNECT_S = 10
_BUSY_S = 10.0  # for a database that another program holds
_QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # what a command prints may be JSON
}
# a server that is gone is waited for about half a minute; MLflow's own defaults wait for four
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
P = ParamSpec("P")
T = TypeVar("T")
_USER, _PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
_TRIES = 20
# Alembic, by which MLflow makes tables, keeps what it works on in globals of the process
_migrating = threading.Lock()
# "foveal": the key of PostgreSQL's advisory lock around the first opening of a database
_OPENING = 0x666F7665616C
_TAKEN = re.compile("unique constraint|duplicate (key|entry)", re.IGNORECASE)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@dataclass(frozen=True)
class Store:
    """An open store.

    Arguments:
        client: bound to this store for tracking and registry alike.
        tracking_uri: as MLflow reads it; a SQLite path in it is absolute.
        artifact_root: URI below which artifacts are written; None leaves it to the server.
        remote: an MLflow server answers, rather than a database that this process opens.
    """

    client: MlflowClient
    tracking_uri: str
    artifact_root: str | None
    remote: bool


def contended(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Make a call of MLflow's that writes a row, again if another process has just done the same.

    MLflow looks whether a row is there and then inserts it, so that of two at once one is refused
    by the database.
    """
    for attempt in range(1, _TRIES):
        try:
            return call(*arguments, **named)
        except Exception as error:  # of MLflow or, embedded, of SQLAlchemy
            if not _TAKEN.search(str(error)):
                raise
            time.sleep(random.uniform(0, 0.05 * attempt))  # noqa: S311
    return call(*arguments, **named)


def sqlite_uri(database: Path) -> str:
    """The tracking URI of a SQLite file, right for a path with a space or a percent sign.

    Raises:
        ConfigError: the path has a question mark, after which SQLAlchemy reads options.
    """
    from sqlalchemy import URL

    if "?" in str(database.resolve()):
        raise ConfigError(
            "a storage root without a question mark in its path",
            found=str(database),
            hint="rename it",
        )
    return URL.create("sqlite", database=str(database.resolve())).render_as_string()


@contextmanager
def taking_turns(store: Store, what: str) -> Iterator[None]:
    """Hold an embedded store's lock, so that processes take turns; no lock on a server."""
    database = sqlite_file(store)
    if database is None:
        yield
        return
    with FileLock(database.with_name(f".{database.name}.{what}.lock")):
        yield


def sqlite_file(store: Store) -> Path | None:
    """The file of an embedded store; None for a server and for other databases."""
    from sqlalchemy import make_url

    if store.remote:
        return None
    url = make_url(store.tracking_uri)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def open_store(tracking_uri: str, artifact_root: str | Path | None = None) -> Store:
    """Open a store; a SQLite database that is not there yet is made, by one process at a time.

    Arguments:
        tracking_uri: ``sqlite:////absolute/mlflow.db``, ``http://host:port``, or another database
            that MLflow knows.
        artifact_root: folder or URI for artifacts; the default is ``artifacts`` beside the SQLite
            file, or whatever the server uses.

    Raises:
        ConfigError: MLflow cannot use the URI, or would write to the working directory.
        RegistryError: the server does not answer, or the database is of another MLflow.
        UnavailableError: the driver of a PostgreSQL URI is not installed.
    """
    telemetry.switch_off()
    for name, value in (_QUIET | _PATIENCE).items():
        os.environ.setdefault(name, value)
    scheme = tracking_uri.partition(":")[0].partition("+")[0].lower()
    if scheme == "sqlite":
        return _open_sqlite(tracking_uri, artifact_root)
    if scheme in _SERVERS:
        tracking_uri = _without_password(tracking_uri)
        _check_server(tracking_uri)
    elif scheme not in _DATABASES:
        raise ConfigError(
            "a tracking URI with sqlite:///, "
            f"{', '.join(s + '://' for s in (*_SERVERS, *_DATABASES))}",
            found=repr(tracking_uri),
            hint="e.g. sqlite:////absolute/path/mlflow.db; MLflow has retired plain folders "
            "(mlruns)",
        )
    elif artifact_root is None:
        raise ConfigError(
            "an artifact root beside a database",
            found=f"only {scheme}:, for which MLflow would write artifacts to the working "
            "directory",
            hint="give artifact_root (FOVEAL_ARTIFACTS), a folder or a URI such as "
            "s3://bucket/foveal",
        )
    root = None if artifact_root is None else _as_uri(artifact_root)
    with _one_at_a_time(tracking_uri) if scheme == "postgresql" else nullcontext():
        return _connect(tracking_uri, root, scheme in _SERVERS)


def _without_password(uri: str) -> str:
    """Strip a server's URI of user and password, which go to where MLflow looks, nowhere else."""
    parts = urlsplit(uri)
    if parts.username is None:
        return uri
    os.environ |= {_USER: unquote(parts.username), _PASSWORD: unquote(parts.password or "")}
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _as_uri(root: str | Path) -> str:
    return str(root) if _URI.match(str(root)) else Path(root).resolve().as_uri()


def _connect(uri: str, artifact_root: str | None, remote: bool) -> Store:
    from mlflow import MlflowClient

    with mlflow_errors("to open its store"):
        return Store(MlflowClient(tracking_uri=uri, registry_uri=uri), uri, artifact_root, remote)


@contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    """Hold a PostgreSQL lock, which ends with the connection, for the reason of `_open_sqlite`.

    Raises:
        RegistryError: nobody answers, or it refuses; MLflow itself would keep trying for minutes.
        UnavailableError: the driver that the URI names is not installed.
    """
    from sqlalchemy import NullPool, create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(
            uri, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_S}
        )
        connection = engine.connect()
    except ImportError as error:
        raise UnavailableError(
            "the driver of a PostgreSQL tracking URI",
            found=str(error),
            hint="pip install 'foveal[servers]', and write the URI as postgresql+psycopg2://…",
        ) from error
    except SQLAlchemyError as error:
        raise RegistryError(
            "a PostgreSQL database that can be opened",
            found=str(getattr(error, "orig", error)).strip(),
            hint="check the tracking URI, the password and that the server runs",
        ) from error
    with connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": _OPENING})
        with _migrating:
            yield


def _open_sqlite(tracking_uri: str, artifact_root: str | Path | None) -> Store:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import make_url

    named = make_url(tracking_uri).database
    if not named or named == ":memory:":
        raise ConfigError(
            "a SQLite file",
            found=repr(tracking_uri),
            hint="name one, e.g. sqlite:////absolute/path/mlflow.db",
        )
    database = Path(named).resolve()
    uri = sqlite_uri(database)
    root = _as_uri(artifact_root or database.parent / "artifacts")
    _check_database(database)
    # MLflow migrates a fresh database unguarded: processes that open one together break each other.
    lock = database.with_name(f".{database.name}.lock")
    with FileLock(lock), _migrating, mlflow_errors(f"to use the database {database}"):
        require_in_place(database, root)
        if not database.exists():
            with replacing(database) as aside:
                SqlAlchemyStore(sqlite_uri(aside), root).engine.dispose()
        SqlAlchemyStore(uri, root)
    return _connect(uri, root, remote=False)


def _check_database(database: Path) -> None:
    """Fail at once when it cannot be opened: MLflow itself keeps trying for minutes."""
    try:
        for folder in (database.parent.parent, database.parent):  # a new one is for its owner alone
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if database.exists():
            with closing(sqlite3.connect(database, timeout=_BUSY_S)) as connection:
                connection.execute("PRAGMA schema_version")
    except (OSError, sqlite3.Error) as error:
        locked = "locked" in str(error)
        raise RegistryError(
            f"a SQLite database that is free within {_BUSY_S:.0f} s"
            if locked
            else "a SQLite database that can be opened, or a place to make one",
            found=f"{database}: {error}",
            hint=hint_of(str(error))
            if locked
            else "check the path and its permissions; move a damaged file aside",
        ) from error


def _check_server(tracking_uri: str) -> None:
    """Fail within seconds when nobody answers: MLflow itself keeps trying for minutes."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        http_request(
            get_default_host_creds(tracking_uri),
            "/health",
            "GET",
            max_retries=0,
            timeout=_CONNECT_S,
        )
    except MlflowException as error:
        raise RegistryError(
            f"an MLflow server at {tracking_uri}",
            found=str(error),
            hint="start it (mlflow server …) and run the same command again, which repeats nothing "
            "that is finished; "
            "or unset MLFLOW_TRACKING_URI to use the embedded store",
        ) from error
