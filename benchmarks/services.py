"""The services of infra/compose.yaml as plain local processes: PostgreSQL, S3, MLflow, Prefect."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import telemetry

BUCKET = "foveal"
STARTUP_S = 240.0
_GRACE_S = 8.0
_HOST = "127.0.0.1"
# compose takes these files from there, too
_BASE = Path(__file__).parents[1] / "infra" / "kubernetes" / "base"
DATABASES, AUTH, HEALTH = (
    _BASE / "databases.sql",
    _BASE / "basic_auth.ini",
    _BASE / "mlflow_health.py",
)


@dataclass(frozen=True)
class Services:
    """Running services, and how they are reached.

    Arguments:
        environment: of a `foveal` command that is to use all of it.
        postgres: URL of the database server, with its password, without a database.
        s3: address of the S3 server.
    """

    environment: Mapping[str, str]
    postgres: str
    s3: str

    def rows(self) -> dict[str, int]:
        """Count the rows in the databases that people care about."""
        import psycopg2

        asked = {
            "flow runs": (
                "prefect",
                "select count(*) from flow_run where state_type = 'COMPLETED'",
            ),
            "task runs": ("prefect", "select count(*) from task_run"),
            "events": ("prefect", "select count(*) from events where event like 'foveal.%'"),
            "versions": (
                "mlflow",
                "select count(*) from model_versions where name not like '%.decisions'",
            ),
            "decisions": (
                "mlflow",
                "select count(*) from model_versions where name like '%.decisions'",
            ),
            "metrics": ("mlflow", "select count(*) from latest_metrics"),
        }
        found = {}
        for what, (database, query) in asked.items():
            with contextlib.closing(psycopg2.connect(f"{self.postgres}/{database}")) as connection:
                with connection.cursor() as cursor:
                    cursor.execute(query)
                    found[what] = int(cursor.fetchone()[0])
        return found

    def objects(self) -> dict[str, int]:
        """Objects in the bucket by the first part of their keys."""
        found: dict[str, int] = {}
        for key in self.bucket().find(BUCKET):
            part = key.split("/")[1]
            found[part] = found.get(part, 0) + 1
        return found

    def bucket(self) -> Any:
        """The S3 server as an fsspec file system."""
        import s3fs

        return s3fs.S3FileSystem(
            endpoint_url=self.s3,
            key=self.environment["AWS_ACCESS_KEY_ID"],
            secret=self.environment["AWS_SECRET_ACCESS_KEY"],
            use_listings_cache=False,
            skip_instance_cache=True,
        )


def missing() -> str:
    """Why the services cannot be started here; empty when they can."""
    if _postgres_binaries() is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    return ""


@contextlib.contextmanager
def services() -> Iterator[Services]:
    """Start everything, each on a free loopback port with its own data, and stop it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="foveal-services-"))
    password = secrets.token_hex(8)
    with contextlib.ExitStack() as running:
        running.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = running.enter_context(_postgres(folder, password))
        s3 = running.enter_context(_s3(folder))
        store = {
            "AWS_ENDPOINT_URL": s3,
            "AWS_ACCESS_KEY_ID": "foveal",
            "AWS_SECRET_ACCESS_KEY": password,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        mlflow, mlflow_answers = running.enter_context(_mlflow(folder, postgres, password, store))
        prefect, prefect_answers = running.enter_context(_prefect(folder, postgres, password))
        mlflow_answers()
        prefect_answers()
        environment = {
            **store,
            "MLFLOW_TRACKING_URI": mlflow,
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": password,
            "PREFECT_API_URL": f"{prefect}/api",
            "PREFECT_API_AUTH_STRING": f"admin:{password}",
            "FOVEAL_STORE": f"s3://{BUCKET}/monitoring",
        }
        started = Services(environment, postgres, s3)
        yield started


def _postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    path = shutil.which("postgres") if not found else str(found[-1])
    return Path(path).parent if path else None


@contextlib.contextmanager
def _postgres(folder: Path, password: str) -> Iterator[str]:
    """Run a database server, set up as compose does.

    It refuses to be root, so root hands it to `nobody`.
    """
    import psycopg2

    binaries, port, data = _postgres_binaries(), _free_port(), folder / "postgres"
    assert binaries is not None, missing()  # noqa: S101
    data.mkdir()
    (folder / "password").write_text(password)
    other: dict[str, Any] = {}
    if os.getuid() == 0:
        other = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        folder.chmod(0o711)
        for path in (data, folder / "password"):
            shutil.chown(path, "nobody", "nogroup")
    create = [
        binaries / "initdb",
        "--pgdata",
        data,
        "--username",
        "foveal",
        "--auth",
        "scram-sha-256",
    ]
    create += ["--encoding", "UTF8", "--locale", "C", "--no-sync", "--pwfile", folder / "password"]
    subprocess.run([*map(str, create)], check=True, stdout=subprocess.DEVNULL, cwd="/", **other)  # noqa: S603 - Debian's
    settings = {
        "listen_addresses": _HOST,
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
    }
    command = [binaries / "postgres", "-D", data]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    url = f"postgresql://foveal:{password}@{_HOST}:{port}"

    def ready() -> bool:
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(f"{url}/postgres").close()
            return True
        return False

    # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
    with _process(
        "postgres", command, folder, os.environ, stop=signal.SIGINT, cwd="/", **other
    ) as wait:
        wait(ready)
        set_up = [
            binaries / "psql",
            f"{url}/postgres",
            "--no-psqlrc",
            "--quiet",
            "--set",
            "ON_ERROR_STOP=1",
        ]
        own = {
            f"{role.upper()}_DB_PASSWORD": role_password(role, password)
            for role in ("prefect", "mlflow")
        }
        subprocess.run([*map(str, set_up), "--file", DATABASES], env=os.environ | own, check=True)  # noqa: S603 - Debian's
        yield url


def role_password(role: str, password: str) -> str:
    """Make the password of a service's role from that of the database's administrator."""
    return f"{role}-{password}"


def _address(driver: str, role: str, postgres: str) -> str:
    """Return a role's address of the database server.

    The password comes from PGPASSWORD, so no address holds it.
    """
    return f"{driver}://{role}@{postgres.rpartition('@')[2]}"


@contextlib.contextmanager
def _s3(folder: Path) -> Iterator[str]:
    """An S3 server in memory, with the bucket."""
    port = _free_port()
    url = f"http://{_HOST}:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", _HOST, "-p", str(port)]
    with _process("s3", command, folder, os.environ) as wait:
        wait(lambda: _answers(f"{url}/moto-api/"))
        bucket = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")  # noqa: S310 - our own server
        urllib.request.urlopen(bucket, timeout=30).close()  # noqa: S310
        yield url


@contextlib.contextmanager
def _mlflow(
    folder: Path, postgres: str, password: str, store: Mapping[str, str]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """MLflow with authentication; its artifacts go to S3, and it alone holds the keys of that."""
    port = _free_port()
    url = f"http://{_HOST}:{port}"
    # the driver that MLflow is tested with
    tracking = _address("postgresql+psycopg2", "mlflow", postgres)
    (folder / "basic_auth.ini").write_text(
        AUTH.read_text().replace("postgresql+psycopg2://mlflow@postgres:5432", tracking),
        encoding="utf-8",
    )
    environment = {
        **os.environ,
        **store,
        "PGPASSWORD": role_password("mlflow", password),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
    }
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        _HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += ["--app-name", "basic-auth", "--backend-store-uri", f"{tracking}/mlflow"]
    command += ["--artifacts-destination", f"s3://{BUCKET}/mlflow"]
    with _process("mlflow", command, folder, environment, cwd=str(folder)) as wait:
        yield url, lambda: wait(lambda: _answers(f"{url}/health"))


@contextlib.contextmanager
def _prefect(
    folder: Path, postgres: str, password: str
) -> Iterator[tuple[str, Callable[[], None]]]:
    port = _free_port()
    url = f"http://{_HOST}:{port}"
    database = _address("postgresql+asyncpg", "prefect", postgres)
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"{database}/prefect",
        "PGPASSWORD": role_password("prefect", password),
        "PREFECT_SERVER_API_AUTH_STRING": f"admin:{password}",
    }
    command = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        _HOST,
        "--port",
        str(port),
    ]
    with _process("prefect", command, folder, environment, stop=signal.SIGINT) as wait:
        yield url, lambda: wait(lambda: _answers(f"{url}/api/health"))


@contextlib.contextmanager
def _process(
    name: str,
    command: list[Any],
    folder: Path,
    environment: Mapping[str, str],
    *,
    stop: signal.Signals = signal.SIGTERM,
    **options: Any,
) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """A server in a process group of its own; yields what waits until it is ready."""
    log = folder / f"{name}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, and Debian's database
            [str(part) for part in command],
            env={**environment, **telemetry.SWITCHES},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            **options,
        )

    def wait(ready: Callable[[], bool]) -> None:
        until = time.monotonic() + STARTUP_S
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"{name} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.2)

    try:
        yield wait
    finally:
        _end(process, stop)


def _end(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(stop)
    try:
        process.wait(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        # what it started, and itself if it is slow: nothing is kept
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
