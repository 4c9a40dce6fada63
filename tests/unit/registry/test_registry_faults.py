"""What a registry does when its store fails, is changed, or is written to by several processes."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from components.errors import RegistryError
from model_registry import Registry
from model_registry.store import open_store, sqlite_file
from tests.conftest import COMMAND, clean_environment

pytestmark = pytest.mark.slow

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def held(registry):
    """Hold the registry's database with another process until told to let go."""
    path = unquote(urlsplit(registry.tracking_uri).path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_database_that_another_program_holds_is_waited_for(registry, held):
    threading.Timer(4, held.kill).start()
    assert open_store(registry.tracking_uri).client.get_experiment_by_name("nobody") is None


def test_a_database_that_stays_locked_is_named_with_what_to_do(registry, held):
    with pytest.raises(
        RegistryError, match=r"free within 10 s, found .*locked; another program holds the database"
    ):
        Registry(registry.tracking_uri)


def test_a_rollback_names_a_database_that_stays_locked_in_one_line(registry, held, tmp_path):
    done = subprocess.run(
        [COMMAND, "rollback", "digits"],
        env=clean_environment(tmp_path / "home") | {"MLFLOW_TRACKING_URI": registry.tracking_uri},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert re.match(
        r"error: expected .*free within 10 s, found .*locked; another program holds the database",
        line,
    )


def test_the_same_release_logged_by_several_at_once_is_one_version(registry, make_release):
    release = make_release("logged.at.once")
    with ThreadPoolExecutor(3) as pool:
        logged = set(pool.map(registry.log_release, [release] * 3))
    assert {version.version for version in logged} == {1}
    assert [version.version for version in registry.versions("logged.at.once")] == [1]


def test_a_version_that_somebody_registered_meanwhile_is_the_one(registry, make_release):
    """A server has no lock: another process may register between our look and our version."""
    from model_registry.description import version_tags
    from model_registry.release.log import log_release

    release = make_release("registered.meanwhile")
    store = open_store(registry.tracking_uri)
    assert log_release(store, release, version_tags(release)) == 1
    assert log_release(store, release, version_tags(release)) == 1
    assert [version.version for version in registry.versions("registered.meanwhile")] == [1]


def stored_source(registry: Registry, name: str) -> Path:
    run = open_store(registry.tracking_uri).client.get_run(registry.get(name, 1).run_id)
    return next(Path(unquote(urlsplit(run.info.artifact_uri).path)).glob("source/*"))


def test_a_checkpoint_that_was_exchanged_in_the_store_is_not_given(
    registry, make_release, tmp_path
):
    checkpoint = tmp_path / "best.pt"
    checkpoint.write_bytes(b"weights")
    version = registry.log_release(make_release("exchanged", source=checkpoint))
    assert registry.download_source(version, tmp_path / "whole").read_bytes() == b"weights"
    stored_source(registry, "exchanged").write_bytes(b"poison")
    with pytest.raises(RegistryError, match="the store's files were changed"):
        registry.download_source(version, tmp_path / "poisoned")
    assert not (tmp_path / "poisoned").exists()


def test_a_checkpoint_without_a_kept_hash_is_not_given_until_its_release_is_run_again(
    registry, make_release, tmp_path
):
    checkpoint = tmp_path / "best.pt"
    checkpoint.write_bytes(b"weights")
    release = make_release("of.old", source=checkpoint)
    version = registry.log_release(release)
    with (
        closing(sqlite3.connect(sqlite_file(open_store(registry.tracking_uri)))) as database,
        database,
    ):
        database.execute(
            "delete from params where key = 'sha256.source' and run_uuid = ?", (version.run_id,)
        )
    with pytest.raises(RegistryError, match="run its release again"):
        registry.download_source(version, tmp_path / "copy")
    assert registry.log_release(release) == version
    assert registry.download_source(version, tmp_path / "copy").read_bytes() == b"weights"


def test_a_drift_reference_that_was_exchanged_in_the_store_is_not_given(
    registry, make_release, tmp_path
):
    version = registry.log_release(make_release("other.reference"))
    run = open_store(registry.tracking_uri).client.get_run(version.run_id)
    stored = next(Path(unquote(urlsplit(run.info.artifact_uri).path)).glob("reference/*"))
    stored.write_bytes(stored.read_bytes() + b" ")
    with pytest.raises(RegistryError, match="the store's files were changed"):
        registry.download_reference(version, tmp_path)


def test_a_servers_password_is_used_and_repeated_nowhere(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        port = listening.getsockname()[1]
        opening = pool.submit(open_store, f"http://anna:hush%2Fhush@127.0.0.1:{port}")
        connection, _ = listening.accept()
        with closing(connection):
            asked = connection.recv(4096).decode()
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"
            )
        store = opening.result(timeout=30)
    assert re.search(r"Authorization: Basic YW5uYTpodXNoL2h1c2g=", asked, re.IGNORECASE)
    assert store.tracking_uri == f"http://127.0.0.1:{port}"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "hush/hush"  # noqa: S105


def test_weights_beside_a_model_file_are_kept_and_given_back_with_it(
    registry, make_release, tmp_path
):
    import numpy as np
    import onnx

    weights = onnx.numpy_helper.from_array(np.arange(2048, dtype=np.float32), "weights")
    graph = onnx.helper.make_graph([], "g", [], [], [weights])
    path = tmp_path / "outside" / "model.onnx"
    path.parent.mkdir()
    onnx.save(onnx.helper.make_model(graph), path, save_as_external_data=True, location="a.data")
    version = registry.log_release(make_release("external.weights", source=path))
    copy = registry.download_source(version, tmp_path / "copy")
    assert copy == tmp_path / "copy" / "model.onnx"
    assert (copy.parent / "a.data").read_bytes() == weights.raw_data
    (stored_source(registry, "external.weights").parent / "a.data").write_bytes(bytes(8192))
    with pytest.raises(RegistryError, match="the store's files were changed"):
        registry.download_source(version, tmp_path / "changed")
