"""Opening MLflow's store."""

from __future__ import annotations

import fcntl
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.errors import ConfigError, RegistryError
from model_registry.store import open_store, sqlite_uri

pytestmark = pytest.mark.slow

WRITE = """
import sys
from pathlib import Path
import mlflow
from model_registry.store import open_store, sqlite_uri

print("ready", flush=True)
sys.stdin.readline()
store = open_store(sqlite_uri(Path(sys.argv[1])))
store.client.create_registered_model(sys.argv[2])
"""


def test_processes_that_open_a_fresh_database_together_lose_nothing_and_leave_no_file_here(
    tmp_path,
):
    database, here = tmp_path / "made on demand" / "mlflow.db", tmp_path / "here"
    here.mkdir()
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(database), name],
            cwd=here,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in crowd:
        assert process.stdout.readline() == "ready\n"
    for process in crowd:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in crowd:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    models = open_store(sqlite_uri(database)).client.search_registered_models()
    assert sorted(model.name for model in models) == ["one", "two"]
    assert list(here.iterdir()) == []
    assert sorted(path.name for path in database.parent.iterdir()) == [
        ".mlflow.db.lock",
        "mlflow.db",
    ]


def test_a_fresh_database_is_made_by_one_process_at_a_time(tmp_path, registry):
    database = tmp_path / "mlflow.db"
    with (tmp_path / ".mlflow.db.lock").open("w") as another, ThreadPoolExecutor(1) as pool:
        fcntl.flock(another, fcntl.LOCK_EX)
        opening = pool.submit(open_store, sqlite_uri(database))
        with pytest.raises(TimeoutError):
            opening.result(timeout=2)
        assert [path.name for path in tmp_path.iterdir()] == [".mlflow.db.lock"]
        fcntl.flock(another, fcntl.LOCK_UN)
        assert opening.result(timeout=240).client.search_registered_models() == []


def test_threads_that_open_fresh_databases_together_make_both(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        opened = list(
            pool.map(
                lambda name: open_store(sqlite_uri(tmp_path / name / "mlflow.db")), ("one", "two")
            )
        )
    assert [store.client.search_registered_models() for store in opened] == [[], []]


def test_artifacts_go_beside_the_database_unless_told_otherwise(store_root, registry, tmp_path):
    assert registry.tracking_uri == sqlite_uri(store_root / "mlflow.db")
    beside = open_store(registry.tracking_uri)
    elsewhere = open_store(registry.tracking_uri, tmp_path / "art 100%")
    bucket = open_store(registry.tracking_uri, "s3://bucket/foveal")
    assert beside.artifact_root == (store_root / "artifacts").as_uri()
    assert elsewhere.artifact_root == (tmp_path / "art 100%").as_uri()
    assert bucket.artifact_root == "s3://bucket/foveal"
    assert not beside.remote


def test_a_relative_sqlite_path_becomes_absolute(store_root, registry, monkeypatch):
    monkeypatch.chdir(store_root)
    assert open_store("sqlite:///mlflow.db").tracking_uri == registry.tracking_uri


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "a%20b.db", "a#b.db"])
def test_the_uri_of_a_sqlite_file_leads_back_to_it(tmp_path, name):
    from sqlalchemy import make_url

    assert make_url(sqlite_uri(tmp_path / name)).database == str(tmp_path / name)


def test_a_path_that_no_uri_can_name_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"without a question mark in its path, found .*what\?"):
        sqlite_uri(tmp_path / "what?" / "mlflow.db")


@pytest.mark.parametrize(
    "uri", ["mlruns", "file:///tmp/mlruns", "", "databricks", "sqlite://", "sqlite:///:memory:"]
)
def test_a_uri_that_cannot_be_used_is_refused(uri):
    with pytest.raises(ConfigError, match="sqlite:///"):
        open_store(uri)


def test_a_database_without_artifact_root_is_refused_as_files_would_land_in_the_working_directory():
    with pytest.raises(ConfigError, match="artifact_root"):
        open_store("postgresql://somewhere/mlflow")


def test_a_file_that_is_no_database_is_refused_at_once_and_left_alone(tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(RegistryError, match="not a database"):
        open_store(sqlite_uri(path))
    assert path.read_bytes() == b"not a database, " * 100


def test_a_place_where_nothing_can_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="permissions"):
        open_store(sqlite_uri(tmp_path / "file" / "mlflow.db"))


def test_a_database_of_another_mlflow_is_refused(tmp_path, registry, store_root):
    old = tmp_path / "old.db"
    old.write_bytes((store_root / "mlflow.db").read_bytes())
    with sqlite3.connect(old) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    connection.close()
    with pytest.raises(RegistryError, match="mlflow db upgrade"):
        open_store(sqlite_uri(old))


def test_a_server_that_does_not_answer_is_named_within_seconds():
    with pytest.raises(RegistryError, match=r"MLflow server at http://127\.0\.0\.1:9"):
        open_store("http://127.0.0.1:9")


def test_importing_the_room_does_not_import_mlflow():
    code = "import model_registry, sys; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert Path("mlruns").exists() is False


def test_a_new_root_is_for_its_owner_alone_whoever_opens_it_first(tmp_path):
    open_store(sqlite_uri(tmp_path / "home" / "mlflow" / "mlflow.db"))
    assert [(tmp_path / place).stat().st_mode & 0o777 for place in ("home", "home/mlflow")] == [
        0o700,
        0o700,
    ]
