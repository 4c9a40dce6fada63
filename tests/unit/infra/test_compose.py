"""What can be checked of compose without its engine; own validators too.

The same services, natively, with the chain over them: tests/integration/test_servers.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.telemetry import SWITCHES
from flows.config.deployments import WorkPoolInput
from tests.unit.infra.files import (
    ASKED_FOR,
    BASE,
    COMPOSE,
    DEFAULT,
    INFRA,
    NEEDED,
    OURS,
    PINNED,
    ROOT,
    compose,
    compose_text,
    created_with,
    example,
    secret_names,
)


@pytest.mark.parametrize("files", [COMPOSE[:1], COMPOSE])
def test_compose_itself_accepts_the_files(files, secrets):
    done = compose(*files, **secrets)
    assert done.returncode == 0, done.stderr


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


def test_runs_of_work_pools_tell_alerts_in_their_log_and_to_channels(services):
    from components.monitoring.alerts import notify

    worker = services["worker"]["environment"]
    lines = (INFRA / "kubernetes/base/environment.env").read_text().splitlines()
    cluster = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    for environment in (worker, cluster):
        assert notify.__name__.startswith(environment["PREFECT_LOGGING_EXTRA_LOGGERS"] + ".")
    assert "FOVEAL_ALERT_URLS" in worker
    assert "--from-literal=FOVEAL_ALERT_URLS=" in created_with("foveal-alerts")


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
