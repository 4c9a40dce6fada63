"""The same registry over a real MLflow server, which alone knows the database and the artifacts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.contracts import Decision, Gate, GateReport, Outcome, Verdict
from components.errors import RegistryError
from components.files import sha256_tree
from model_registry import Rationale, Registry
from model_registry.decisions import runs as decision_runs
from model_registry.decisions.record import Record
from model_registry.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a server of two processes with files of its own."""
    root = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{root / 'mlflow.db'}",
        "--artifacts-destination", str(root / "artifacts"),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address, process, root / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=300)


def wait_for(address, process, log):
    until = time.monotonic() + 600
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
    assert sha256_tree(registry.download_bundle(version, tmp_path / "bundle")) == sha256_tree(
        bundle.folder
    )
    assert registry.download_reference(version, tmp_path).read_bytes() == reference.read_bytes()
    assert registry.comparison_url("served.remotely", 1, 1).startswith(
        f"{server}/#/compare-model-versions?"
    )
    public = "https://mlflow.example.org"  # as browsers find it
    assert registry.comparison_url("served.remotely", 1, 1, public).startswith(
        f"{public}/#/compare-model-versions?"
    )
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    model = mlflow.pyfunc.load_model("models:/served.remotely@champion")
    (dog,) = model.predict([str(photo)])["predictions"][0]
    assert dog["class_name"] == "dog"


def test_of_promoters_at_once_on_a_server_which_has_no_lock_one_wins_and_the_others_are_told(
    server,
):
    client = open_store(server).client
    client.create_registered_model("fought.over")
    for _ in range(4):
        client.create_model_version("fought.over", "s3://nowhere/model", await_creation_for=0)
    Registry(server).promote("fought.over", 1)

    def promote(version):
        gate = Gate("golden", 0.8, 0.9, (0.1, 0.05, 0.15), 0.0, 0.01, 400, Verdict.PASS, "better")
        gates = GateReport("fought.over/1", f"fought.over/{version}", (gate,))
        try:
            return (
                Registry(server)
                .promote("fought.over", version, Rationale("drift", "a flow", gates=gates))
                .version
            )
        except RegistryError as error:
            assert "expected fought.over/1 as champion" in str(error)
            return None

    with ThreadPoolExecutor(3) as pool:
        winners = [version for version in pool.map(promote, (2, 3, 4)) if version]
    registry = Registry(server)
    assert winners == [registry.get("fought.over", "champion").version]
    assert registry.get("fought.over", "previous_champion").version == 1
    assert [d.decision.version for d in registry.decisions("fought.over")] == [1, *winners]
    experiment = client.get_experiment_by_name("fought.over.decisions").experiment_id
    assert client.search_runs([experiment], "attributes.status = 'RUNNING'") == []
    assert Record(open_store(server), "fought.over").intents() == ()


def test_what_a_kill_left_half_done_on_a_server_is_finished_before_the_dead_one_is_given_up(server):
    store = open_store(server)
    store.client.create_registered_model("halved")
    for _ in range(2):
        store.client.create_model_version("halved", "s3://nowhere/model", await_creation_for=0)
    registry, record = Registry(server), Record(store, "halved")
    registry.promote("halved", 1)
    killed = record.writing(record.head())
    key = killed.__enter__()
    decision = Decision(Outcome.PROMOTED, 2, 1, "by hand", "a victim")
    record.append(decision, key, decision_runs.open_run(record, decision, key), "")
    assert registry.get("halved", "champion").version == 2
    assert [d.decision.outcome for d in registry.decisions("halved")] == ["promoted", "promoted"]
    assert [intent.key for intent in record.intents()] == [key]
    assert registry.rollback("halved").version == 1
