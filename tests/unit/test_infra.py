"""What can be checked of images, compose, Kubernetes without engine or cluster; own validators too.

The same services, natively, with the chain over them: tests/integration/test_servers.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from components.telemetry import SWITCHES
from flows.config.deployments import WorkPoolInput
from flows.runtime.access import EVERYWHERE, Access
from flows.services.metrics import FovealCollector, Source
from flows.services.services import HEALTH

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
BASE = INFRA / "kubernetes" / "base"
BIN = Path(sys.executable).parent
DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")
OVERLAYS = ("cpu", "gpu")
ASKED_FOR = re.compile(r"\$\{(\w+)")
NEEDED = re.compile(r"\$\{(\w+):\?")
DEFAULT = re.compile(r"\$\{(\w+):-([^${}]+)\}")
PINNED = re.compile(r"[\w./-]+:(?!latest)[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?")
OURS = "foveal:"
EXAMPLE = INFRA / ".env.example"
RUN_RELU = """
import numpy, onnxruntime, pathlib
session = onnxruntime.InferenceSession("relu.onnx", providers=["CPUExecutionProvider"])
answer = session.run(None, {"x": numpy.array([7], "float32")})[0][0]
print(pathlib.Path(onnxruntime.__file__).parent, answer)
"""
COMPOSE = ("compose.yaml", "compose.gpu.yaml")


def dockerfile(name: str) -> str:
    return (INFRA / name).read_text().replace("\\\n", " ")


def example() -> dict[str, str]:
    """What infra/.env.example sets; empty where people fill in."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def compose_text() -> str:
    return "".join((INFRA / name).read_text() for name in COMPOSE)


def secret_names() -> set[str]:
    """What compose does not start without, and nobody but the user knows; and where alerts go."""
    return {name for name in NEEDED.findall(compose_text()) if not example()[name]} | {
        "FOVEAL_ALERT_URLS"
    }


def compose(*files: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `docker compose config` says of the files, over what the example sets."""
    named = [part for file in files for part in ("--file", str(INFRA / file))]
    own = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [BIN / "docker-compose", *named, "config", "--format", "json"],
        env={**own, **example(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """A value for each secret that cannot be mistaken for anything else."""
    return {name: f"secret-of-{name.lower()}" for name in secret_names()}


@pytest.fixture(scope="session")
def composed(secrets) -> dict[str, Any]:
    done = compose("compose.yaml", **secrets)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def services(composed) -> dict[str, dict[str, Any]]:
    return composed["services"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_linter_of_dockerfiles_finds_nothing(name):
    command = [BIN / "hadolint", "--config", ROOT / ".hadolint.yaml", INFRA / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", DOCKERFILES)
def test_everything_an_image_copies_is_in_the_repository_and_not_ignored(name):
    lines = [line.split()[1:] for line in dockerfile(name).splitlines() if line.startswith("COPY")]
    sources = [
        source for parts in lines if not parts[0].startswith("--from") for source in parts[:-1]
    ]
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    assert set(sources) <= kept


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_pinned_in_one_place_quiet_and_no_root(name):
    text = dockerfile(name)
    (base,) = re.findall(r"^ARG BASE=(\S+)", text, re.MULTILINE)
    assert PINNED.fullmatch(base)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "${BASE}"]
    final = text.rpartition("\nFROM ")[2]
    assert {
        switch for switch, value in SWITCHES.items() if f"{switch}={value}" not in final
    } == set()
    assert re.findall(r"^USER (.*)", final, re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_claims_no_health_since_it_knows_no_server_and_compose_asks_each(name):
    assert re.findall(r"^HEALTHCHECK (.*)", dockerfile(name), re.MULTILINE) == ["NONE"]


def test_extras_that_images_install_are_the_projects():
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in DOCKERFILES:
        asked = re.findall(r"EXTRAS=([\w,]+)", dockerfile(name))
        assert asked
        assert {extra for extras in asked for extra in extras.split(",")} <= set(known)


def test_onnxruntime_runs_on_the_processor_without_what_the_cpu_image_removes(tmp_path):
    import onnxruntime
    from onnx import TensorProto, helper

    (removed,) = re.findall(r"rm -f \S+/site-packages/onnxruntime/(\S+)", dockerfile("Dockerfile"))
    kept = shutil.ignore_patterns(Path(removed).name, "__pycache__")
    shutil.copytree(
        Path(onnxruntime.__file__).parent,
        tmp_path / "onnxruntime",
        ignore=kept,
        copy_function=os.symlink,
    )
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "relu.onnx").write_bytes(model.SerializeToString())
    said = subprocess.run(
        [sys.executable, "-c", RUN_RELU], cwd=tmp_path,
        env=os.environ | SWITCHES | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.split() == [str(tmp_path / "onnxruntime"), "7.0"]


@pytest.mark.parametrize("files", [COMPOSE[:1], COMPOSE])
def test_compose_itself_accepts_the_files(files, secrets):
    done = compose(*files, **secrets)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("named", [{}, {"FOVEAL_EXTRAS": "servers,yolo"}])
def test_images_are_built_with_the_extras_that_env_names_or_their_own(named, secrets):
    for files, name in ((COMPOSE[:1], "Dockerfile"), (COMPOSE, "Dockerfile.gpu")):
        (own,) = re.findall(r"^ARG EXTRAS=(.*)", dockerfile(name), re.MULTILINE)
        gpu = ",gpu" if name.endswith("gpu") else ""
        worker = json.loads(compose(*files, **secrets, **named).stdout)["services"]["worker"]
        assert worker["build"]["dockerfile"].endswith(name)
        assert worker["build"]["args"]["EXTRAS"] == (
            f"{named['FOVEAL_EXTRAS']}{gpu}" if named else own
        )


def test_compose_refuses_to_start_without_any_one_of_its_secrets(secrets):
    assert set(ASKED_FOR.findall(compose_text())) == set(example()), (
        "the example names what compose asks for, no more, no less"
    )
    done = compose("compose.yaml")
    assert done.returncode != 0
    assert {
        name for name in secret_names() - {"FOVEAL_ALERT_URLS"} if name not in done.stderr
    } == set()
    assert len(secrets) > 8


def test_the_example_sets_no_secret_and_the_real_one_is_kept_out_of_git_and_of_images():
    assert {
        name for name, value in example().items() if value and re.search("PASSWORD|KEY|URL", name)
    } == set()
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", "-q", "infra/.env"], cwd=ROOT, check=False
    )
    assert ignored.returncode == 0
    kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if "infra" in line]
    assert kept == ["!infra/requirements"]


def test_what_the_example_sets_is_what_compose_takes_without_it():
    defaults = dict(DEFAULT.findall(compose_text()))
    named = {
        name: value
        for name, value in example().items()
        if value and name not in NEEDED.findall(compose_text())
    }
    assert len(named) == 10
    assert {name: defaults[name] for name in named} == named


def test_secrets_reach_services_through_the_environment_alone(services, secrets):
    for name, service in services.items():
        rest = json.dumps({key: value for key, value in service.items() if key != "environment"})
        assert not [secret for secret in secrets.values() if secret in rest], name


def test_every_service_is_pinned_and_no_root_and_keeps_its_privileges_down(services):
    for name, service in services.items():
        assert PINNED.fullmatch(service["image"]), name
        assert service["user"].partition(":")[0] not in {"", "0", "root"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        inline = service.get("build", {}).get("dockerfile_inline", "")
        assert all(
            PINNED.fullmatch(base) for base in re.findall(r"^FROM (\S+)", inline, re.MULTILINE)
        ), name


def test_every_service_that_stays_up_has_a_health_check_and_is_waited_for(services):
    jobs = {name for name, service in services.items() if service.get("restart") == "no"}
    assert jobs == {"buckets"}
    for name, service in services.items():
        assert ("healthcheck" in service) is (name not in jobs), name
        for other, condition in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in jobs else "service_healthy"
            assert condition["condition"] == expected, f"{name} on {other}"


def test_the_health_of_the_metrics_does_not_hang_on_a_store(services):
    deployment = next(yaml.safe_load_all((BASE / "metrics.yaml").read_text()))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = [
        container[f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "readiness", "liveness")
    ]
    assert set(probes) == {HEALTH["metrics"]}
    assert f":9464{HEALTH['metrics']}'" in services["metrics"]["healthcheck"]["test"][-1]


def test_postgres_is_asked_by_tcp_since_on_the_socket_it_answers_before_its_databases_are_there(
    services,
):
    """And for an answer of the last-made database: pg_isready does not ask if it is there."""
    last = re.findall(r"CREATE DATABASE (\w+)", (BASE / "databases.sql").read_text())[-1]
    stateful, _ = yaml.safe_load_all((BASE / "postgres.yaml").read_text())
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    ready = [container[f"{kind}Probe"]["exec"]["command"] for kind in ("startup", "readiness")]
    for command in [services["postgres"]["healthcheck"]["test"], *ready]:
        assert "psql --host 127.0.0.1 " in command[-1]
        assert command[-1].endswith(f" --dbname {last} --command 'select 1'")
    assert container["livenessProbe"]["exec"]["command"][:3] == [
        "pg_isready",
        "--host",
        "127.0.0.1",
    ]


def test_servers_are_ready_when_their_database_answers_and_alive_when_they_do(services):
    """/api/health and /health answer without it, and a restart brings no database back."""
    probes = {}
    for name in ("prefect", "mlflow"):
        (container,) = next(yaml.safe_load_all((BASE / f"{name}.yaml").read_text()))["spec"][
            "template"
        ]["spec"]["containers"]
        probes[name] = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
    asked = [probe["httpGet"]["path"] for probe in probes["prefect"]]
    assert asked == ["/api/ready", "/api/ready", HEALTH["prefect"]]
    assert "/api/ready'" in services["prefect"]["healthcheck"]["test"][-1]
    assert [probe["exec"]["command"][-1] for probe in probes["mlflow"][:2]] == [
        "/config/mlflow_health.py"
    ] * 2
    assert probes["mlflow"][2]["httpGet"]["path"] == HEALTH["mlflow"]
    assert services["mlflow"]["healthcheck"]["test"][1:3] == ["python", "/mlflow_health.py"]


@pytest.mark.parametrize(("status", "code"), [(401, 0), (200, 1), (500, 1), (503, 1), (None, 1)])
def test_mlflow_is_healthy_when_it_refuses_a_user_that_its_database_does_not_know(
    status, code, free_port
):
    """An answer without a look at who asks is no MLflow with users; no answer is no MLflow."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status or 0)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    address = f"http://127.0.0.1:{free_port}"
    with (
        ThreadingHTTPServer(("127.0.0.1", free_port), Server) if status else nullcontext() as server
    ):
        if server:
            Thread(target=server.serve_forever, daemon=True).start()
        asked = subprocess.run(
            [sys.executable, BASE / "mlflow_health.py", address],
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if server:
            server.shutdown()
    assert asked.returncode == code


def test_ports_are_published_on_this_machine_only_and_come_from_env(services, secrets):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) > 5
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert len({port["published"] for port in ports}) == len(ports)
    moved = {
        name: str(int(port) + 20000) for name, port in example().items() if name.endswith("_PORT")
    }
    told = json.loads(compose("compose.yaml", **secrets, **moved).stdout)["services"]
    published = {
        port["published"] for service in told.values() for port in service.get("ports", [])
    }
    assert published == set(moved.values())
    assert {
        service["environment"]["FOVEAL_MLFLOW_URL"]
        for name, service in told.items()
        if name == "worker"
    } == {f"http://127.0.0.1:{moved['MLFLOW_PORT']}"}


def test_every_service_is_limited_in_memory_and_cores_and_the_worker_by_env(services, secrets):
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) >= 2**30, name
        assert float(limits["cpus"]) == 1 or name == "worker", (
            f"{name}: Docker refuses more cores than there are"
        )
    more = json.loads(
        compose("compose.yaml", **secrets, WORKER_CPUS="7", WORKER_MEMORY="30g").stdout
    )["services"]
    assert more["worker"]["deploy"]["resources"]["limits"] == {"cpus": 7, "memory": str(30 * 2**30)}


def test_the_gpu_keeps_the_workers_limits(services, secrets):
    worker = json.loads(compose(*COMPOSE, **secrets).stdout)["services"]["worker"]
    assert (
        worker["deploy"]["resources"]["limits"]
        == services["worker"]["deploy"]["resources"]["limits"]
    )
    assert worker["deploy"]["resources"]["reservations"]["devices"][0]["driver"] == "nvidia"
    assert worker["image"] == example()["FOVEAL_GPU_IMAGE"]


def test_each_service_has_the_secrets_that_it_needs_and_no_others(services, secrets):
    names = {value: name for name, value in secrets.items()}
    given = {
        service: {
            name
            for value, name in names.items()
            if value in json.dumps(told.get("environment", {}))
        }
        for service, told in services.items()
    }
    assert {service: had for service, had in given.items() if had} == {
        "postgres": {"POSTGRES_PASSWORD", "PREFECT_DB_PASSWORD", "MLFLOW_DB_PASSWORD"},
        "s3": {"S3_ROOT_KEY"},
        "buckets": {"S3_ROOT_KEY", "S3_MLFLOW_KEY", "S3_FOVEAL_KEY"},
        "prefect": {"PREFECT_DB_PASSWORD", "PREFECT_PASSWORD"},
        "mlflow": {"MLFLOW_DB_PASSWORD", "MLFLOW_PASSWORD", "MLFLOW_SIGNING_KEY", "S3_MLFLOW_KEY"},
        "worker": {"PREFECT_PASSWORD", "MLFLOW_PASSWORD", "S3_FOVEAL_KEY", "FOVEAL_ALERT_URLS"},
        "metrics": {"MLFLOW_PASSWORD", "S3_FOVEAL_KEY"},
        "grafana": {"GRAFANA_PASSWORD"},
    }


def test_each_key_of_the_object_store_owns_the_bucket_that_its_service_uses(services):
    made = set(
        re.findall(
            r'^bucket (\w+) "\$S3_\w+"$', (INFRA / "s3" / "buckets.sh").read_text(), re.MULTILINE
        )
    )
    used = {}
    for name, service in services.items():
        text = json.dumps([service.get("command"), service.get("environment")])
        if buckets := set(re.findall(r"s3://(\w+)", text)):
            used[name] = (buckets, service["environment"]["AWS_ACCESS_KEY_ID"])
    own = ({"foveal"}, "foveal")
    assert used == {"mlflow": ({"mlflow"}, "mlflow"), "worker": own, "metrics": own}
    assert made == {"mlflow", "foveal"}


def test_the_store_makes_keys_on_a_port_that_is_not_published(services):
    s3, buckets = services["s3"], services["buckets"]
    options = dict(zip(s3["command"][::2], s3["command"][1::2], strict=False))
    assert buckets["environment"]["ADMIN_ENDPOINT_URL"] == f"http://s3{options['--admin-port']}"
    assert [str(port["target"]) for port in s3["ports"]] == [options["--port"].removeprefix(":")]
    assert services["worker"]["environment"]["AWS_ENDPOINT_URL"] == f"http://s3{options['--port']}"
    assert s3["healthcheck"]["test"][-1].endswith(options["--health"])
    (base,) = re.findall(r"^FROM (\S+)", s3["build"]["dockerfile_inline"], re.MULTILINE)
    assert s3["image"].rpartition(":")[2] == re.search(r":v([\d.]+)@sha256", base)[1]
    assert (s3["image"], s3["build"]) == (buckets["image"], buckets["build"])


def test_the_script_of_the_buckets_makes_what_is_missing_and_leaves_what_is_there(tmp_path):
    """Run twice over a stand-in for the store's tool, which keeps in files what it was asked."""
    tool = tmp_path / "bin" / "versitygw"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\ncd $PLACE; shift; what=$1; shift; echo $what $* >> log\ncase $what in\n"
        "create-user) [ ! -e user-$2 ] && echo $4 > user-$2;;\nupdate-user) echo $4 > user-$2;;\n"
        "create-bucket) [ ! -e bucket-$4 ] && echo $2 > bucket-$4;;\n"
        "list-buckets) for b in bucket-*; do echo ${b#bucket-} $(cat $b); done;;\nesac\n"
    )
    tool.chmod(0o755)

    def run(**keys: str) -> int:
        path = {"PATH": f"{tool.parent}:{os.environ['PATH']}", "PLACE": str(tmp_path)}
        return subprocess.run(
            ["sh", INFRA / "s3" / "buckets.sh"], env=path | keys, check=False
        ).returncode

    assert run(S3_MLFLOW_KEY="one", S3_FOVEAL_KEY="two") == 0
    assert run(S3_MLFLOW_KEY="new", S3_FOVEAL_KEY="two") == 0
    kept = {path.name: path.read_text().strip() for path in tmp_path.glob("*-*")}
    assert kept == {
        "user-mlflow": "new",
        "user-foveal": "two",
        "bucket-mlflow": "mlflow",
        "bucket-foveal": "foveal",
    }
    (tmp_path / "bucket-foveal").write_text("somebody")
    assert run(S3_MLFLOW_KEY="new", S3_FOVEAL_KEY="two") != 0
    assert run(S3_MLFLOW_KEY="new") != 0


def test_every_file_and_volume_that_a_service_mounts_exists(composed, services):
    for name, service in services.items():
        for mount in service.get("volumes", []):
            if mount["type"] == "bind":
                assert Path(mount["source"]).exists(), f"{name}: {mount['source']}"
                assert mount["read_only"], name
            else:
                assert mount["source"] in composed["volumes"], name


def test_services_that_run_foveal_are_as_quiet_as_the_code(services):
    ours = [service for service in services.values() if service["image"].startswith(OURS)]
    assert len(ours) == 5
    for service in ours:
        assert SWITCHES.items() <= service["environment"].items()
    quiet = services["grafana"]["environment"]
    assert {
        quiet[f"GF_ANALYTICS_{what}"] for what in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES")
    } == {"false"}


def test_clients_and_servers_agree_on_addresses_and_passwords(services):
    worker, prefect, mlflow = (
        services[name]["environment"] for name in ("worker", "prefect", "mlflow")
    )
    assert worker["PREFECT_API_AUTH_STRING"] == prefect["PREFECT_SERVER_API_AUTH_STRING"]
    assert worker["MLFLOW_TRACKING_PASSWORD"] == mlflow["MLFLOW_AUTH_ADMIN_PASSWORD"]
    for address, name in (
        (worker["PREFECT_API_URL"], "prefect"),
        (worker["MLFLOW_TRACKING_URI"], "mlflow"),
    ):
        host, port = re.fullmatch(r"http://(\w+):(\d+)(?:/api)?", address).groups()
        assert host == name
        assert port in {str(port["target"]) for port in services[name]["ports"]}
    databases = (BASE / "databases.sql").read_text()
    auth = (BASE / "basic_auth.ini").read_text()
    named = re.findall(r"@postgres:5432/(\w+)", json.dumps(services) + auth)
    assert (
        set(named)
        == set(re.findall(r"CREATE DATABASE (\w+)", databases))
        == {"prefect", "mlflow", "mlflow_auth"}
    )


def places_of_prefect(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """Return where a Prefect server so set keeps concurrency leases, and copies its pages to."""
    from prefect.server.concurrency.lease_storage import filesystem
    from prefect.settings import Settings

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.server.concurrency.lease_storage == filesystem.__name__
    assert settings.server.ui.static_directory
    return settings.home / "concurrency_leases", Path(settings.server.ui.static_directory)


def test_prefects_server_keeps_its_leases_on_a_volume_and_copies_its_pages_where_it_may_write(
    services, monkeypatch
):
    prefect = services["prefect"]
    image = dict(re.findall(r"\b(PREFECT_\w+)=(\S+)", dockerfile("Dockerfile")))
    leases, pages = places_of_prefect(image | prefect["environment"], monkeypatch)
    assert {
        Path(mount["target"]) for mount in prefect["volumes"] if mount["type"] == "volume"
    } & set(leases.parents)
    assert {Path(place.partition(":")[0]) for place in prefect["tmpfs"]} & set(pages.parents)


def test_runs_of_work_pools_tell_alerts_in_their_log_and_to_channels(services):
    from components.monitoring.alerts import notify

    worker = services["worker"]["environment"]
    lines = (INFRA / "kubernetes/base/environment.env").read_text().splitlines()
    cluster = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    for environment in (worker, cluster):
        assert notify.__name__.startswith(environment["PREFECT_LOGGING_EXTRA_LOGGERS"] + ".")
    assert "FOVEAL_ALERT_URLS" in worker
    assert "--from-literal=FOVEAL_ALERT_URLS=" in created_with("foveal-alerts")


def refuses_pages_of_others(access: Access, *names: str) -> None:
    """Check that a server answers to its names, and to no rebound name and no foreign page."""
    for name in names:
        assert not access.refusal("POST", [("host", name)])
        assert not access.refusal("POST", [("host", name), ("origin", f"https://{name}")])
        elsewhere = [("host", name), ("origin", "https://elsewhere.example.org")]
        assert access.refusal("POST", elsewhere)
    assert access.refusal("POST", [("host", "elsewhere.example.org:4200")])


PROTECTED = {"prefect": "4200", "evidently": "8000"}


def test_servers_of_ours_are_behind_the_check_of_host_and_origin(services):
    command = ["python", "-P", "-m", "flows.services.protected_server"]
    for name, port in PROTECTED.items():
        assert services[name]["command"] == [*command, name, EVERYWHERE, port]
        assert f"{name}:{port}," in services[name]["environment"]["FOVEAL_ALLOWED_HOSTS"]


def test_servers_on_a_cluster_are_behind_it_likewise(overlay, monkeypatch):
    command = ["python", "-P", "-m", "flows.services.protected_server"]
    for name, port in PROTECTED.items():
        (container,) = dict(pods(overlay[1]))[name]["containers"]
        assert container["command"] == [*command, name, EVERYWHERE, port]
        given = {one["name"]: one["value"] for one in container["env"]}
        monkeypatch.setenv("FOVEAL_ALLOWED_HOSTS", given["FOVEAL_ALLOWED_HOSTS"])
        refuses_pages_of_others(Access.of(EVERYWHERE, int(port)), f"{name}:{port}", "localhost:80")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("named", "host", "page", "api"),
    [
        ({}, "127.0.0.1:5000", "http://127.0.0.1:5000", "/api"),
        (
            {
                "MLFLOW_PUBLIC_NAME": "mlflow.example.org",
                "PREFECT_PUBLIC_NAME": "prefect.example.org",
            },
            "mlflow.example.org",
            "https://mlflow.example.org",
            "https://prefect.example.org/api",
        ),
    ],
)
def test_servers_answer_to_the_name_that_a_proxy_gives_them(
    named, host, page, api, secrets, monkeypatch
):
    from mlflow.server import security_utils

    told = json.loads(compose("compose.yaml", **secrets, **named).stdout)["services"]
    for name, value in told["mlflow"]["environment"].items():
        monkeypatch.setenv(name, value)
    hosts, origins = (
        security_utils.get_allowed_hosts_from_env(),
        security_utils.get_allowed_origins_from_env(),
    )
    assert all(security_utils.is_allowed_host_header(hosts, one) for one in (host, "mlflow:5000"))
    assert not security_utils.is_allowed_host_header(hosts, "elsewhere.example.org")
    assert not security_utils.should_block_cors_request(page, "POST", origins)
    assert security_utils.should_block_cors_request(
        "https://elsewhere.example.org", "POST", origins
    )
    assert told["prefect"]["environment"]["PREFECT_UI_API_URL"] == api
    monkeypatch.setenv(
        "FOVEAL_ALLOWED_HOSTS", told["prefect"]["environment"]["FOVEAL_ALLOWED_HOSTS"]
    )
    public = named.get("PREFECT_PUBLIC_NAME", "127.0.0.1:14200")
    refuses_pages_of_others(Access.of(EVERYWHERE, 4200), "prefect:4200", public)
    assert told["worker"]["environment"]["FOVEAL_MLFLOW_URL"] == page
    prefect = told["worker"]["environment"]["PREFECT_UI_URL"]
    assert prefect == (api.removesuffix("/api") or "http://127.0.0.1:4200")


def test_a_run_links_to_where_browsers_find_mlflow_and_not_to_a_service_that_they_do_not_know(
    services, overlay, monkeypatch
):
    from flows.reporting.links import mlflow_pages

    cluster = next(
        one["data"] for one in overlay[1] if one["metadata"]["name"] == "foveal-environment"
    )
    for environment in (services["worker"]["environment"], cluster):
        for name in ("MLFLOW_TRACKING_URI", "FOVEAL_MLFLOW_URL"):
            monkeypatch.setenv(name, environment[name])
        assert mlflow_pages() == "http://127.0.0.1:5000"
        assert environment["PREFECT_UI_URL"] == "http://127.0.0.1:4200"
    monkeypatch.delenv("FOVEAL_MLFLOW_URL")
    assert mlflow_pages() == "http://mlflow:5000"


def exported() -> set[str]:
    """Names that `foveal metrics` exports."""
    registry = CollectorRegistry()
    registry.register(FovealCollector(Source("store", lambda: ()), Source("registry", lambda: ())))
    told = re.findall(r"^# TYPE (\S+)", generate_latest(registry).decode(), re.MULTILINE)
    assert len(told) > 15
    return set(told)


def test_dashboard_and_alerts_ask_for_what_is_exported_and_the_dashboard_shows_all_of_it():
    dashboard = json.loads((INFRA / "grafana" / "dashboards" / "foveal.json").read_text())
    shown = {
        name
        for panel in dashboard["panels"]
        for one in panel["targets"]
        for name in metrics_in(one["expr"])
    }
    rules = yaml.safe_load((INFRA / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    asked = {name for rule in rules for name in metrics_in(rule["expr"])}
    listed = {
        name
        for one in dashboard["templating"]["list"]
        for name in metrics_in(one["query"]["query"])
    }
    assert shown | listed == exported()
    assert asked <= exported()
    sources = yaml.safe_load(
        (INFRA / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    )["datasources"]
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {
        source["uid"] for source in sources
    }
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"foveal_\w+", expression))


def test_prometheus_scrapes_the_service_that_exports(services):
    told = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())
    (target,) = told["scrape_configs"][0]["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert port in services[name]["command"]
    assert int(told["global"]["scrape_timeout"][:-1]) > 8, (
        "longer than the endpoint waits for a store"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked", ["check config --syntax-only prometheus.yml", "test rules alerts.test.yml"]
)
def test_prometheus_own_tool_accepts_its_files_and_alerts_fire_when_they_should(asked):
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed; it comes with Debian's prometheus")
    done = subprocess.run(
        [tool, *asked.split()],
        cwd=INFRA / "prometheus",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire():
    tested = yaml.safe_load((INFRA / "prometheus" / "alerts.test.yml").read_text())["tests"]
    rules = yaml.safe_load((INFRA / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    fired = {
        case["alertname"] for one in tested for case in one["alert_rule_test"] if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules}


@pytest.fixture(scope="session", params=OVERLAYS)
def overlay(request) -> tuple[str, list[dict[str, Any]]]:
    """Name and objects of an overlay, as kustomize makes them."""
    tool = shutil.which("kubectl", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if tool is None:
        pytest.skip("kubectl is not installed; it comes with the extra dev")
    done = subprocess.run(
        [tool, "kustomize", INFRA / "kubernetes" / "overlays" / request.param],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return request.param, [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] in kinds]


def pods(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Name and pod specification of all that runs, the work pool's jobs too."""
    running = [
        (one["metadata"]["name"], one["spec"]["template"]["spec"])
        for one in of_kind(objects, "Deployment", "StatefulSet")
    ]
    return [*running, ("a run", job(objects)["spec"]["template"]["spec"])]


def job(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The work pool's job, filled in with the defaults of its form."""
    (config,) = [
        one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == "foveal-config"
    ]
    pool = json.loads(config["data"]["work-pool.json"])
    given = {name: field.get("default") for name, field in pool["variables"]["properties"].items()}
    given |= {
        "command": ["prefect", "flow-run", "execute"],
        "env": [],
        "labels": {},
        "annotations": {},
        "name": "run",
    }
    given |= {"image": image_of_runs(objects)}

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        if isinstance(value, str) and (whole := re.fullmatch(r"\{\{ (\w+) \}\}", value)):
            return given[whole[1]]
        return (
            re.sub(r"\{\{ (\w+) \}\}", lambda part: given[part[1]], value)
            if isinstance(value, str)
            else value
        )

    return fill(pool["job_configuration"]["job_manifest"])


def image_of_runs(objects: list[dict[str, Any]]) -> str:
    """The image that `foveal deploy` gives to the work pool's deployments on the cluster."""
    (worker,) = [
        one for one in of_kind(objects, "Deployment") if one["metadata"]["name"] == "worker"
    ]
    (deploy,) = worker["spec"]["template"]["spec"]["initContainers"]
    (told,) = [one["value"] for one in deploy["env"] if one["name"] == "FOVEAL_IMAGE"]
    return told


def test_kubernetes_schemas_accept_every_object_strictly(overlay):
    import kubernetes_validate

    _, objects = overlay
    for one in [*objects, job(objects)]:
        kubernetes_validate.validate(one, "1.34", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(objects[0] | {"spce": {}}, "1.34", strict=True)


def test_every_pod_is_pinned_limited_and_may_run_under_the_restricted_standard(overlay):
    _, objects = overlay
    for what, pod in pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True, what
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, what
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert PINNED.fullmatch(container["image"]), what
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), what
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, what
            assert security["readOnlyRootFilesystem"] is True, what
            assert security["capabilities"] == {"drop": ["ALL"]}, what
        mounts = {
            mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]
        }
        assert mounts <= {volume["name"] for volume in pod.get("volumes", [])} | {"data"}, what


def test_a_work_pool_of_containers_takes_its_image_from_the_environment_unless_its_file_names_one(
    monkeypatch,
):
    """Which is how an overlay names it once, for the worker and for the jobs that it starts."""
    monkeypatch.setenv("FOVEAL_IMAGE", "registry.example/foveal:7")
    assert WorkPoolInput(name="pool", type="kubernetes").job_variables == {
        "image": "registry.example/foveal:7"
    }
    assert WorkPoolInput(name="pool", type="process").job_variables["env"] == {
        "PYTHONSAFEPATH": "1"
    }
    assert WorkPoolInput(name="pool", type="docker", image="foveal:1").image == "foveal:1"
    assert WorkPoolInput(name="pool", type="process").image is None
    monkeypatch.delenv("FOVEAL_IMAGE")
    with pytest.raises(ValueError, match="expected an image"):
        WorkPoolInput(name="pool", type="kubernetes")


def test_what_runs_flows_shares_one_image_and_servers_another_that_is_named_once(overlay):
    """Dask's scheduler, workers and runs exchange Python objects and paths of the image."""
    name, objects = overlay
    images: dict[str, set[str]] = {}
    for what, pod in pods(objects):
        images[what] = {
            one["image"] for one in [*pod.get("initContainers", []), *pod["containers"]]
        }
    own = example()["FOVEAL_GPU_IMAGE" if name == "gpu" else "FOVEAL_IMAGE"]
    assert {what for what, used in images.items() if used == {own}} >= {
        "dask",
        "dask-worker",
        "worker",
        "a run",
    }
    servers = {"prefect", "mlflow", "evidently", "metrics"}
    assert {one for server in servers for one in images[server]} == {example()["FOVEAL_IMAGE"]}


def test_the_version_of_the_images_is_named_in_one_place_for_compose_and_one_for_each_overlay():
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    files = [
        path
        for path in INFRA.rglob("*")
        if path.is_file() and path.suffix not in {".md", ".txt", ".pyc"}
    ]
    naming = {
        str(path.relative_to(INFRA))
        for path in files
        if re.search(rf"{version}\b", path.read_text())
    }
    assert naming == {
        ".env.example",
        *(f"kubernetes/overlays/{one}/kustomization.yaml" for one in OVERLAYS),
    }
    assert example()["FOVEAL_IMAGE"] == f"{OURS}{version}"
    assert example()["FOVEAL_GPU_IMAGE"] == f"{OURS}{version}-gpu"
    pages = "".join(
        path.read_text() for path in [INFRA / "README.md", *(ROOT / "docs").rglob("*.md")]
    )
    assert set(re.findall(r"\bfoveal:(\d[\w.]*\d)", pages)) == {version}


def test_images_of_others_carry_a_digest_and_are_the_same_in_compose_and_on_the_cluster(overlay):
    defaults = dict(DEFAULT.findall(compose_text()))
    others = {name: image for name, image in defaults.items() if name.endswith("_IMAGE")}
    assert set(others) == {name for name in example() if name.endswith("_IMAGE")} - {
        "FOVEAL_IMAGE",
        "FOVEAL_GPU_IMAGE",
    }
    assert {name for name, image in others.items() if "@sha256:" not in image} == set()
    assert all(PINNED.fullmatch(image) for image in others.values())
    foreign = {pod["containers"][0]["image"] for _, pod in pods(overlay[1])}
    assert {image for image in foreign if not image.startswith(OURS)} == {others["POSTGRES_IMAGE"]}


def test_runs_and_workers_on_gpus_tolerate_what_keeps_other_pods_off_their_nodes(overlay):
    name, objects = overlay
    for what in ("a run", "dask-worker"):
        pod = dict(pods(objects))[what]
        on_gpu = {
            (one["key"], one["operator"], one["effect"]) for one in pod.get("tolerations", ())
        }
        limits = pod["containers"][0]["resources"]["limits"]
        assert on_gpu == (
            {("nvidia.com/gpu", "Exists", "NoSchedule")} if name == "gpu" else set()
        ), what
        assert limits.get("nvidia.com/gpu") == (1 if name == "gpu" else None), what


def test_every_pod_that_stays_up_says_whether_it_is_healthy(overlay):
    for one in of_kind(overlay[1], "Deployment", "StatefulSet"):
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), one[
            "metadata"
        ]["name"]


def test_what_pods_refer_to_is_there_and_secrets_are_not(overlay):
    _, objects = overlay
    there = {(one["kind"], one["metadata"]["name"]) for one in objects}
    text = json.dumps([pod for _, pod in pods(objects)])
    assert of_kind(objects, "Secret") == []
    assert set(re.findall(r'"secretRef": \{"name": "([\w-]+)"', text)) == secrets_of_cluster()
    for kind, key in (
        ("ConfigMap", "configMapRef"),
        ("ConfigMap", "configMap"),
        ("PersistentVolumeClaim", "persistentVolumeClaim"),
    ):
        named = re.findall(rf'"{key}": \{{"(?:name|claimName)": "([\w-]+)"', text)
        assert named
        assert {(kind, name) for name in named} <= there
    accounts = {
        pod["serviceAccountName"] for _, pod in pods(objects) if "serviceAccountName" in pod
    }
    assert {("ServiceAccount", name) for name in accounts} <= there


def test_the_environment_is_quiet_and_names_services_that_exist(overlay):
    _, objects = overlay
    (config,) = [
        one
        for one in of_kind(objects, "ConfigMap")
        if one["metadata"]["name"] == "foveal-environment"
    ]
    assert SWITCHES.items() <= config["data"].items()
    ports = {
        (one["metadata"]["name"], port["port"])
        for one in of_kind(objects, "Service")
        for port in one["spec"]["ports"]
    }
    addresses = re.findall(r"(?:http|tcp)://([a-z]+):(\d+)", json.dumps(config["data"]))
    assert len(addresses) == 3
    assert {(host, int(port)) for host, port in addresses} <= ports
    for one in of_kind(objects, "Service"):
        selected = [
            other
            for other in of_kind(objects, "Deployment", "StatefulSet")
            if one["spec"]["selector"].items()
            <= other["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert len(selected) == 1, one["metadata"]["name"]


def test_nobody_from_outside_is_let_in_but_prometheus(overlay):
    policies = of_kind(overlay[1], "NetworkPolicy")
    (deny,) = [one for one in policies if one["spec"]["podSelector"] == {}]
    assert "ingress" not in deny["spec"]
    peers = [
        peer for one in policies for rule in one["spec"].get("ingress", []) for peer in rule["from"]
    ]
    outside = [peer for peer in peers if "namespaceSelector" in peer]
    assert [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in outside
    ] == ["monitoring"]


def test_each_pod_has_the_secrets_that_it_needs_and_no_others(overlay):
    given: dict[str, set[str]] = {}
    for what, pod in pods(overlay[1]):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            named = {
                one["secretRef"]["name"]
                for one in container.get("envFrom", [])
                if "secretRef" in one
            }
            given[container["name"] if what == "worker" else what] = {
                name.removeprefix("foveal-") for name in named
            }
    assert {what: had for what, had in given.items() if had} == {
        "postgres": {"postgres"},
        "prefect": {"prefect"},
        "mlflow": {"mlflow"},
        "deploy": {"prefect-client", "mlflow-client"},
        "worker": {"prefect-client"},
        "a run": {"prefect-client", "mlflow-client", "store", "alerts"},
        "dask-worker": {"store"},
        "metrics": {"mlflow-client", "store"},
    }


def test_who_has_no_password_of_a_server_is_not_let_near_it(overlay):
    (servers,) = [
        one for one in of_kind(overlay[1], "NetworkPolicy") if one["metadata"]["name"] == "servers"
    ]
    (peer,) = servers["spec"]["ingress"][0]["from"]
    assert set(peer["podSelector"]["matchExpressions"][0]["values"]) == {
        "worker",
        "foveal-run",
        "metrics",
    }


def test_the_worker_may_manage_jobs_and_nothing_else(overlay):
    (role,) = of_kind(overlay[1], "Role")
    changed = [
        rule["resources"] for rule in role["rules"] if set(rule["verbs"]) - {"get", "list", "watch"}
    ]
    assert changed == [["jobs"]]
    assert of_kind(overlay[1], "ClusterRole", "ClusterRoleBinding") == []


def test_prefects_server_on_a_cluster_keeps_and_copies_them_likewise(overlay, monkeypatch):
    pod = dict(pods(overlay[1]))["prefect"]
    (container,) = pod["containers"]
    given = {one["name"]: one["value"] for one in container["env"]}
    volumes = {one["name"]: one for one in pod["volumes"]}
    places = {
        Path(mount["mountPath"]): volumes[mount["name"]] for mount in container["volumeMounts"]
    }
    leases, pages = places_of_prefect(given, monkeypatch)
    assert any("persistentVolumeClaim" in places.get(parent, {}) for parent in leases.parents)
    assert any(parent in places for parent in pages.parents)


def test_the_worker_watches_its_jobs_namespace_and_leaves_the_password_where_it_is(overlay):
    (container,) = dict(pods(overlay[1]))["worker"]["containers"]
    told = {
        one["name"].removeprefix("PREFECT_INTEGRATIONS_KUBERNETES_"): one["value"]
        for one in container["env"]
    }
    run = job(overlay[1])
    assert told["OBSERVER_NAMESPACES"] == run["metadata"]["namespace"]
    secret = {"secretRef": {"name": told["WORKER_API_AUTH_STRING_SECRET_NAME"]}}
    assert secret in run["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    assert f"--from-literal={told['WORKER_API_AUTH_STRING_SECRET_KEY']}=" in created_with(
        secret["secretRef"]["name"]
    )


def created_with(secret: str) -> str:
    """The command that makes a secret, as the page on infrastructure says it."""
    page = (INFRA / "README.md").read_text().replace("\\\n", " ")
    return next(line for line in page.splitlines() if re.search(rf"^secret {secret} ", line))


def secrets_of_cluster() -> set[str]:
    """What the page on infrastructure makes."""
    return set(
        re.findall(r"^secret (foveal-[\w-]+) ", (INFRA / "README.md").read_text(), re.MULTILINE)
    )


def test_what_deploying_writes_for_the_forms_is_where_runs_see_it(overlay):
    written, seen = dict(pods(overlay[1]))["worker"], dict(pods(overlay[1]))["a run"]
    assert data_claim(written, written["initContainers"][0]) == data_claim(
        seen, seen["containers"][0]
    )


def data_claim(pod: dict[str, Any], container: dict[str, Any]) -> str:
    """The claim behind the storage root of a container."""
    (name,) = [
        mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/data"
    ]
    (claim,) = [
        one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if one["name"] == name
    ]
    return claim


def test_compose_and_kubernetes_share_what_is_the_same_in_both():
    for file in ("databases.sql", "basic_auth.ini", "mlflow_health.py"):
        assert (
            f"./kubernetes/base/{file}:/" in (INFRA / "compose.yaml").read_text()
            and (BASE / file).is_file()
        )
    pools = [
        json.loads((folder / "work-pool.json").read_text())
        for folder in (BASE, BASE.parent / "overlays" / "gpu")
    ]
    (limits,) = [
        pool["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["containers"][0][
            "resources"
        ]["limits"]
        for pool in pools[1:]
    ]
    assert limits.pop("nvidia.com/gpu") == 1
    assert pools[1]["job_configuration"]["job_manifest"]["spec"]["template"]["spec"].pop(
        "tolerations"
    )
    assert pools[0] == pools[1]
    assert pools[0]["variables"]["required"] == ["image"], (
        "the deployments name it; Prefect's own has no Foveal in it"
    )


def test_a_container_of_a_work_pool_has_the_workers_servers_and_passwords_and_keeps_its_files(
    monkeypatch,
):
    """What Prefect makes of the template, until its Docker worker, an extra, takes over."""
    from docker.models.containers import _create_container_args
    from prefect.server.schemas.actions import validate_base_job_template
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.workers.base import BaseJobConfiguration

    class Container(BaseJobConfiguration):
        image: str
        volumes: list[str]
        container_create_kwargs: dict[str, Any]

    template = json.loads((INFRA / "docker" / "work-pool.json").read_text())
    validate_base_job_template(template)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret-of-mlflow")
    monkeypatch.delenv("FOVEAL_ALERT_URLS", raising=False)
    told = WorkPoolInput(
        name="gpu", type="docker", image="foveal:1", env={"FOVEAL_STORE": "s3://vision/store"}
    )
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        # which is not asked for anything
        made = asyncio.run(Container.from_template_and_values(template, told.job_variables))
    assert (made.image, made.env["FOVEAL_STORE"]) == ("foveal:1", "s3://vision/store")
    assert (made.env["MLFLOW_TRACKING_PASSWORD"], made.env["FOVEAL_ALERT_URLS"]) == (
        "secret-of-mlflow",
        "",
    )
    assert "secret" not in json.dumps(template), "Prefect keeps the template"
    assert (
        {volume.partition(":")[2] for volume in made.volumes}
        == {made.env["FOVEAL_HOME"]}
        == {"/data"}
    )
    made.container_create_kwargs |= {"version": "1.44", "image": made.image, "command": None}
    host = _create_container_args(made.container_create_kwargs)["host_config"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["DeviceRequests"]) == (True, ["ALL"], [])
    assert (host["NanoCpus"], template["variables"]["properties"]["mem_limit"]["default"]) == (
        2_000_000_000,
        "8g",
    )
    assert template["variables"]["required"] == ["image"]


@pytest.mark.parametrize("script", sorted(INFRA.rglob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_parse(script):
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize(
    "file", sorted([*INFRA.rglob("*.yaml"), *INFRA.rglob("*.yml")]), ids=lambda path: path.name
)
def test_every_yaml_file_parses(file):
    assert list(yaml.safe_load_all(file.read_text()))
