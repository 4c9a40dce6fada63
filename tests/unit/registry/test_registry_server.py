"""The same registry over a real MLflow server, which alone knows the database and the artifacts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from components.errors import RegistryError
from components.files import sha256_tree
from model_registry import Registry
from model_registry.store import open_store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a server of two processes with files of its own."""
    root = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{root / 'mlflow.db'}", "--artifacts-destination", str(root / "artifacts"),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address, process, root / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def wait_for(address, process, log):
    until = time.monotonic() + 180
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            open_store(address)
            return
        except RegistryError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def test_a_server_takes_gives_and_serves_the_same_release(
    server, make_release, bundle, reference, photo, tmp_path, monkeypatch, capsys
):
    import mlflow.pyfunc

    registry = Registry(server)
    version = registry.log_release(make_release("served.remotely"))
    assert registry.log_release(make_release("served.remotely")) == version
    assert registry.promote("served.remotely", 1).aliases == ("champion",)
    assert sha256_tree(registry.download_bundle(version, tmp_path / "bundle")) == sha256_tree(bundle.folder)
    assert registry.download_reference(version, tmp_path).read_bytes() == reference.read_bytes()
    assert registry.comparison_url("served.remotely", 1, 1).startswith(f"{server}/#/compare-model-versions?")
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    model = mlflow.pyfunc.load_model("models:/served.remotely@champion")
    (dog,) = model.predict([str(photo)])["predictions"][0]
    assert dog["class_name"] == "dog"
