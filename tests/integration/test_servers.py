"""The chain on shared servers: PostgreSQL, S3, Prefect and MLflow with passwords; two machines."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from benchmarks.servers import DAY, NAME, Machine, run_chain, upload
from benchmarks.services import HEALTH, role_password
from components.errors import RegistryError, UnavailableError
from components.images.object_store import Folder
from components.monitoring import MonitoringStore
from model_registry import Registry
from model_registry.store import open_store
from tests.conftest import LIMIT_S
from tests.warm import warm

pytestmark = [
    pytest.mark.timeout(3600),  # the first test waits for four servers and nine commands
    # aiobotocore leaves its loop's sockets to the collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

OPEN = """
import sys
from model_registry import Registry
registry = Registry(sys.argv[1], "s3://foveal/direct")
print(len(registry.model_summaries()))
"""
PROMOTE = """
import sys
from components.errors import RegistryError
from components.contracts import Gate, GateReport, Verdict
from model_registry import Rationale, Registry
registry, version = Registry(sys.argv[1], "s3://foveal/direct"), int(sys.argv[2])
gate = Gate("golden", 0.8, 0.9, (0.1, 0.05, 0.15), 0.0, 0.01, 400, Verdict.PASS, "better")
gates = GateReport("fought/1", f"fought/{version}", (gate,))
print("ready", flush=True)
sys.stdin.readline()
try:
    print(registry.promote("fought", version, Rationale("drift", "a flow", gates=gates)).version)
except RegistryError as error:
    assert "expected fought/1 as champion" in str(error), error
    print(0)
"""


@pytest.fixture(scope="module")
def images(servers, scenes):
    """The dataset, its images where cameras would put them."""
    upload(servers, scenes.parent / "images", most=55)
    return scenes


class Warm(Machine):
    """A computer whose commands are forks of a process that has imported their libraries."""

    def foveal(self, *arguments):
        done = warm().run(
            [*map(str, arguments), "--json"],
            env=self.environment,
            cwd=self.folder,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def machines(servers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("machines")
    for name in ("one", "other"):
        (folder / name).mkdir()
    return Warm(folder / "one", servers), Warm(folder / "other", servers)


@pytest.fixture(scope="module")
def said(machines, images):
    """What each command of the chain said."""
    return run_chain(machines, images)


@pytest.fixture
def in_store(servers, monkeypatch):
    """A fresh folder of the S3 store, for this process."""
    for name, value in servers.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return f"s3://foveal/{uuid.uuid4().hex}"


@pytest.fixture
def database(servers):
    """A fresh database, as SQLAlchemy names it."""
    import psycopg2

    name = f"fresh_{uuid.uuid4().hex[:8]}"
    with closing(psycopg2.connect(f"{servers.postgres}/postgres")) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"create database {name}")
    return f"{servers.postgres.replace('postgresql', 'postgresql+psycopg2', 1)}/{name}"


def start(servers, script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=Machine.clean(servers) | {"PYTHONPATH": ":".join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_release_on_one_machine_is_watched_promoted_and_served_on_another(said):
    assert (said["release"]["version"], said["challenger"]["version"]) == (1, 2)
    assert said["nightly"]["window"]["images"] == 55
    assert said["nightly"]["window"]["state"] == "ok"
    assert said["again"]["window"] is None, (
        "what the other machine has looked at is not new to this one"
    )
    assert said["monitor"]["window"]["state"] in {"warn", "drift"}
    outcomes = [entry["decision"]["outcome"] for entry in said["history"]]
    assert outcomes == ["promoted", "promoted", "rolled_back"]
    assert (said["promote"]["champion"], said["rollback"]["champion"]) == (2, 1)
    assert (said["predict"]["model"], said["predict"]["processed"]) == (f"{NAME}/1", 55)


def test_everything_is_in_the_database_and_the_bucket_and_nothing_in_a_sqlite_file(
    said, servers, machines
):
    rows, objects = servers.rows(), servers.objects()
    assert (rows["versions"], rows["decisions"], rows["flow runs"]) == (2, 3, 5)
    assert objects["mlflow"] > 10
    assert objects["monitoring"] >= 5
    assert [path for machine in machines for path in machine.folder.rglob("*.db")] == []


def test_no_password_is_in_what_the_machines_keep(said, servers, machines):
    secrets = [servers.environment["MLFLOW_TRACKING_PASSWORD"].encode()]
    files = [path for machine in machines for path in machine.folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if any(secret in path.read_bytes() for secret in secrets)] == []


def test_the_metrics_of_both_are_told_by_any_machine(said, machines):
    process = machines[1].start("metrics", "--port", "0", "--json")
    try:
        assert process.stdout is not None
        address = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["address"]
        told = ""
        for _ in range(5):
            with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - our own server
                told = answer.read().decode()
            if 'foveal_source_up{source="registry"} 1.0' in told:
                break
        assert f'foveal_champion_version{{model="{NAME}"}} 1.0' in told
        assert f'foveal_window_images{{model="{NAME}"}} 55.0' in told
        assert f'foveal_decisions_total{{model="{NAME}",outcome="promoted"}} 2.0' in told
    finally:
        process.terminate()
        assert process.wait(timeout=300) == 0


def test_each_service_enters_its_own_databases_and_no_others(servers):
    import psycopg2

    login, _, place = servers.postgres.rpartition("@")
    password = login.rpartition(":")[2]

    def enters(role: str, database: str) -> bool:
        try:
            psycopg2.connect(
                f"postgresql://{role}:{role_password(role, password)}@{place}/{database}"
            ).close()
        except psycopg2.OperationalError as error:
            assert "CONNECT" in str(error), error
            return False
        return True

    databases = ("prefect", "mlflow", "mlflow_auth")
    assert [name for name in databases if enters("prefect", name)] == ["prefect"]
    assert [name for name in databases if enters("mlflow", name)] == ["mlflow", "mlflow_auth"]


def test_servers_that_can_work_are_healthy_by_the_checks_of_their_containers(servers):
    asked = subprocess.run(
        [sys.executable, HEALTH, servers.environment["MLFLOW_TRACKING_URI"]], check=False
    )
    assert asked.returncode == 0, "MLflow's database says that it does not know a stranger"
    with urllib.request.urlopen(  # noqa: S310
        f"{servers.environment['PREFECT_API_URL']}/ready", timeout=60
    ) as answer:
        assert answer.status == 200


def test_processes_that_open_a_fresh_database_at_once_all_can(servers, database):
    opened = [start(servers, OPEN, database) for _ in range(3)]
    answers = [process.communicate(timeout=900) for process in opened]
    assert [process.returncode for process in opened] == [0, 0, 0], answers


def test_of_promoters_at_once_on_a_database_one_wins_and_the_others_are_told(
    servers, database, in_store
):
    client = open_store(database, in_store).client
    client.create_registered_model("fought")
    for _ in range(3):
        client.create_model_version("fought", in_store, await_creation_for=0)
    registry = Registry(database, in_store)
    registry.promote("fought", 1)
    rivals = [start(servers, PROMOTE, database, version) for version in (2, 3)]
    assert [rival.stdout.readline() for rival in rivals] == ["ready\n", "ready\n"]
    for rival in rivals:
        rival.stdin.write("go\n")
        rival.stdin.flush()
    answers = [rival.communicate(timeout=900) for rival in rivals]
    won = [int(out) for out, _ in answers if out.strip() not in {"", "0"}]
    assert len(won) == 1, answers
    assert registry.get("fought", "champion").version == won[0]
    assert [entry.decision.version for entry in registry.decisions("fought")] == [1, *won]


def test_a_database_that_refuses_or_is_not_there_is_an_error_in_one_line_without_the_password(
    database, in_store, free_port
):
    wrong = database.replace("foveal:", "foveal:guessed", 1)
    with pytest.raises(RegistryError, match="password authentication failed") as refused:
        open_store(wrong, in_store)
    assert "guessed" not in str(refused.value)
    with pytest.raises(RegistryError, match="a PostgreSQL database that can be opened"):
        open_store(f"postgresql+psycopg2://foveal@127.0.0.1:{free_port}/none", in_store)


def test_a_driver_that_is_not_installed_is_named(in_store):
    with pytest.raises(UnavailableError, match=r"psycopg.*foveal\[servers\]"):
        open_store("postgresql+psycopg://foveal@127.0.0.1/none", in_store)


def test_of_many_writers_of_one_object_one_succeeds_and_its_content_stays(in_store):
    folders = [Folder(in_store) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        wrote = list(
            pool.map(lambda number: folders[number].create("a/b.json", b"%d" % number), range(8))
        )
    assert wrote.count(True) == 1
    assert folders[0].read_all(["a/b.json"]) == [b"%d" % wrote.index(True)]


def test_what_another_process_wrote_is_seen_at_once(in_store):
    one, other = MonitoringStore(in_store), Folder(in_store)
    assert one.models() == ()
    other.create("digits/1/windows/x", b"{}")
    assert one.models() == ("digits",)


def test_images_that_arrive_between_two_nights_are_listed(said, servers, machines, images):
    bucket = servers.bucket()
    late = sorted((images.parent / "images" / "day").iterdir())[60]
    bucket.put_file(str(late), f"{DAY.removeprefix('s3://')}/{late.name}")
    answer = machines[0].foveal("nightly", NAME, "--images", DAY)
    assert answer["window"]["images"] == 1
