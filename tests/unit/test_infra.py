"""What can be checked of images, compose and Kubernetes without an engine or a cluster, by their own validators too.

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
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from components.telemetry import SWITCHES
from flows.config_deployments import WorkPoolInput
from flows.metrics import FovealCollector, Source
from flows.services import HEALTH

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
BIN = Path(sys.executable).parent
DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")
OVERLAYS = ("cpu", "gpu")
ASKED_FOR = re.compile(r"\$\{(\w+)")
PINNED = re.compile(r"[\w./-]+:(?!latest)[\w.-]*\d[\w.-]*")
EXAMPLE = INFRA / ".env.example"
RUN_RELU = """
import numpy, onnxruntime, pathlib
session = onnxruntime.InferenceSession("relu.onnx", providers=["CPUExecutionProvider"])
print(pathlib.Path(onnxruntime.__file__).parent, session.run(None, {"x": numpy.array([7], "float32")})[0][0])
"""
OPEN = {"PREFECT_UI_API_URL", "MLFLOW_PUBLIC_NAME", "FOVEAL_EXTRAS"}  # names in it that are no secrets
OPTIONAL = {*OPEN, "FOVEAL_ALERT_URLS"}


def dockerfile(name: str) -> str:
    return (INFRA / name).read_text().replace("\\\n", " ")


def names_in_example() -> set[str]:
    return {line.partition("=")[0] for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")}


def compose(*files: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `docker compose config` says of the files."""
    named = [part for file in files for part in ("--file", str(INFRA / file))]
    return subprocess.run(
        [BIN / "docker-compose", *named, "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """A value for each secret that cannot be mistaken for anything else."""
    return {name: f"secret-of-{name.lower()}" for name in names_in_example() - OPEN}


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
    sources = [source for parts in lines if not parts[0].startswith("--from") for source in parts[:-1]]
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert set(sources) <= kept


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_pinned_quiet_healthy_and_no_root(name):
    text = dockerfile(name)
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(bases) == 2
    assert all(PINNED.fullmatch(base) for base in bases)
    final = text.rpartition("\nFROM ")[2]
    assert {switch for switch, value in SWITCHES.items() if f"{switch}={value}" not in final} == set()
    assert re.findall(r"^USER (.*)", final, re.MULTILINE) == ["10001:10001"]
    assert "HEALTHCHECK" in final


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
    shutil.copytree(Path(onnxruntime.__file__).parent, tmp_path / "onnxruntime", ignore=kept, copy_function=os.symlink)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "relu.onnx").write_bytes(model.SerializeToString())
    said = subprocess.run(
        [sys.executable, "-c", RUN_RELU], cwd=tmp_path, env=os.environ | SWITCHES | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.split() == [str(tmp_path / "onnxruntime"), "7.0"]


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "compose.gpu.yaml")])
def test_compose_itself_accepts_the_files(files, secrets):
    done = compose(*files, **secrets)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("named", [{}, {"FOVEAL_EXTRAS": "servers,yolo"}])
def test_images_are_built_with_the_extras_that_env_names_or_their_own(named, secrets):
    for files, name in ((["compose.yaml"], "Dockerfile"), (["compose.yaml", "compose.gpu.yaml"], "Dockerfile.gpu")):
        (own,) = re.findall(r"^ARG EXTRAS=(.*)", dockerfile(name), re.MULTILINE)
        gpu = ",gpu" if name.endswith("gpu") else ""
        worker = json.loads(compose(*files, **secrets, **named).stdout)["services"]["worker"]
        assert worker["build"]["dockerfile"].endswith(name)
        assert worker["build"]["args"]["EXTRAS"] == (f"{named['FOVEAL_EXTRAS']}{gpu}" if named else own)


def test_compose_refuses_to_start_without_any_one_of_its_secrets(secrets):
    text = "".join((INFRA / name).read_text() for name in ("compose.yaml", "compose.gpu.yaml"))
    assert set(ASKED_FOR.findall(text)) == names_in_example(), (
        "the example names what compose asks for, no more, no less"
    )
    done = compose("compose.yaml")
    assert done.returncode != 0
    assert {name for name in names_in_example() - OPTIONAL if name not in done.stderr} == set()


def test_the_example_holds_no_values_and_the_real_one_is_kept_out_of_git_and_of_images():
    assert all(line.endswith("=") for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#"))
    ignored = subprocess.run(["git", "check-ignore", "--no-index", "-q", "infra/.env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0
    assert "infra" not in (ROOT / ".dockerignore").read_text()


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
        assert all(PINNED.fullmatch(base) for base in re.findall(r"^FROM (\S+)", inline, re.MULTILINE)), name


def test_every_service_that_stays_up_has_a_health_check_and_is_waited_for(services):
    jobs = {name for name, service in services.items() if service.get("restart") == "no"}
    assert jobs == {"bucket"}
    for name, service in services.items():
        assert ("healthcheck" in service) is (name not in jobs), name
        for other, condition in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in jobs else "service_healthy"
            assert condition["condition"] == expected, f"{name} on {other}"


def test_the_health_of_the_metrics_does_not_hang_on_a_store(services):
    deployment = next(yaml.safe_load_all((INFRA / "kubernetes" / "base" / "metrics.yaml").read_text()))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]
    assert set(probes) == {HEALTH["metrics"]}
    assert f":9464{HEALTH['metrics']}'" in services["metrics"]["healthcheck"]["test"][-1]


def test_postgres_is_asked_by_tcp_since_its_first_start_answers_on_the_socket_before_its_databases_are_there(services):
    asked = [services["postgres"]["healthcheck"]["test"][1:]]
    stateful, _ = yaml.safe_load_all((INFRA / "kubernetes" / "base" / "postgres.yaml").read_text())
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    asked += [container[f"{kind}Probe"]["exec"]["command"] for kind in ("startup", "readiness", "liveness")]
    assert {tuple(command[:3]) for command in asked} == {("pg_isready", "--host", "127.0.0.1")}


def test_ports_are_published_on_this_machine_only(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) > 5
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert len({port["published"] for port in ports}) == len(ports)


def test_every_file_and_volume_that_a_service_mounts_exists(composed, services):
    for name, service in services.items():
        for mount in service.get("volumes", []):
            if mount["type"] == "bind":
                assert Path(mount["source"]).exists(), f"{name}: {mount['source']}"
                assert mount["read_only"], name
            else:
                assert mount["source"] in composed["volumes"], name


def test_services_that_run_foveal_are_as_quiet_as_the_code(services):
    ours = [service for service in services.values() if service["image"].startswith("foveal:")]
    assert len(ours) == 5
    for service in ours:
        assert SWITCHES.items() <= service["environment"].items()
    quiet = services["grafana"]["environment"]
    assert {quiet[f"GF_ANALYTICS_{what}"] for what in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES")} == {"false"}


def test_clients_and_servers_agree_on_addresses_and_passwords(services):
    worker, prefect, mlflow = (services[name]["environment"] for name in ("worker", "prefect", "mlflow"))
    assert worker["PREFECT_API_AUTH_STRING"] == prefect["PREFECT_SERVER_API_AUTH_STRING"]
    assert worker["MLFLOW_TRACKING_PASSWORD"] == mlflow["MLFLOW_AUTH_ADMIN_PASSWORD"]
    for address, name in ((worker["PREFECT_API_URL"], "prefect"), (worker["MLFLOW_TRACKING_URI"], "mlflow")):
        host, port = re.fullmatch(r"http://(\w+):(\d+)(?:/api)?", address).groups()
        assert host == name
        assert port in {str(port["target"]) for port in services[name]["ports"]}
    databases = (INFRA / "postgres" / "databases.sql").read_text()
    auth = (INFRA / "mlflow" / "basic_auth.ini").read_text()
    named = re.findall(r"@postgres:5432/(\w+)", json.dumps(services) + auth)
    assert set(named) == set(re.findall(r"CREATE DATABASE (\w+)", databases)) == {"prefect", "mlflow", "mlflow_auth"}


def places_of_prefect(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where a Prefect server with this environment keeps the leases of concurrency slots, and copies its pages to."""
    from prefect.server.concurrency.lease_storage import filesystem
    from prefect.settings import Settings

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.server.concurrency.lease_storage == filesystem.__name__
    assert settings.server.ui.static_directory
    return settings.home / "concurrency_leases", Path(settings.server.ui.static_directory)


def test_prefects_server_keeps_its_leases_on_a_volume_and_copies_its_pages_where_it_may_write(services, monkeypatch):
    prefect = services["prefect"]
    image = dict(re.findall(r"\b(PREFECT_\w+)=(\S+)", dockerfile("Dockerfile")))
    leases, pages = places_of_prefect(image | prefect["environment"], monkeypatch)
    assert {Path(mount["target"]) for mount in prefect["volumes"] if mount["type"] == "volume"} & set(leases.parents)
    assert {Path(place.partition(":")[0]) for place in prefect["tmpfs"]} & set(pages.parents)


def test_runs_of_work_pools_tell_alerts_in_their_log_and_to_channels(services):
    from components.monitoring import notify

    worker = services["worker"]["environment"]
    cluster = dict(line.split("=", 1) for line in (INFRA / "kubernetes/base/environment.env").read_text().splitlines())
    for environment in (worker, cluster):
        assert notify.__name__.startswith(environment["PREFECT_LOGGING_EXTRA_LOGGERS"] + ".")
    assert "FOVEAL_ALERT_URLS" in worker
    assert "--from-literal=FOVEAL_ALERT_URLS=" in created_with("foveal-clients")


@pytest.mark.parametrize(
    ("named", "host", "page", "api"),
    [
        ({}, "127.0.0.1:5000", "http://127.0.0.1:5000", "http://127.0.0.1:4200/api"),
        (
            {"MLFLOW_PUBLIC_NAME": "mlflow.example.org", "PREFECT_UI_API_URL": "https://prefect.example.org/api"},
            "mlflow.example.org",
            "https://mlflow.example.org",
            "https://prefect.example.org/api",
        ),
    ],
)
def test_servers_answer_to_the_name_that_a_proxy_gives_them(named, host, page, api, secrets, monkeypatch):
    from mlflow.server import security_utils

    told = json.loads(compose("compose.yaml", **secrets, **named).stdout)["services"]
    for name, value in told["mlflow"]["environment"].items():
        monkeypatch.setenv(name, value)
    hosts, origins = security_utils.get_allowed_hosts_from_env(), security_utils.get_allowed_origins_from_env()
    assert all(security_utils.is_allowed_host_header(hosts, one) for one in (host, "mlflow:5000"))
    assert not security_utils.is_allowed_host_header(hosts, "elsewhere.example.org")
    assert not security_utils.should_block_cors_request(page, "POST", origins)
    assert security_utils.should_block_cors_request("https://elsewhere.example.org", "POST", origins)
    assert told["prefect"]["environment"]["PREFECT_UI_API_URL"] == api


def exported() -> set[str]:
    """Names that `foveal metrics` exports."""
    registry = CollectorRegistry()
    registry.register(FovealCollector(Source("store", lambda: ()), Source("registry", lambda: ())))
    told = re.findall(r"^# TYPE (\S+)", generate_latest(registry).decode(), re.MULTILINE)
    assert len(told) > 15
    return set(told)


def test_dashboard_and_alerts_ask_for_what_is_exported_and_the_dashboard_shows_all_of_it():
    dashboard = json.loads((INFRA / "grafana" / "dashboards" / "foveal.json").read_text())
    shown = {name for panel in dashboard["panels"] for one in panel["targets"] for name in metrics_in(one["expr"])}
    rules = yaml.safe_load((INFRA / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    asked = {name for rule in rules for name in metrics_in(rule["expr"])}
    listed = {name for one in dashboard["templating"]["list"] for name in metrics_in(one["query"]["query"])}
    assert shown | listed == exported()
    assert asked <= exported()
    sources = yaml.safe_load((INFRA / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"] for source in sources}
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"foveal_\w+", expression))


def test_prometheus_scrapes_the_service_that_exports(services):
    told = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())
    (target,) = told["scrape_configs"][0]["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert port in services[name]["command"]
    assert int(told["global"]["scrape_timeout"][:-1]) > 8, "longer than the endpoint waits for a store"


@pytest.mark.parametrize("asked", ["check config --syntax-only prometheus.yml", "test rules alerts.test.yml"])
def test_prometheus_own_tool_accepts_its_files_and_alerts_fire_when_they_should(asked):
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed; it comes with Debian's prometheus")
    done = subprocess.run([tool, *asked.split()], cwd=INFRA / "prometheus", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire():
    tested = yaml.safe_load((INFRA / "prometheus" / "alerts.test.yml").read_text())["tests"]
    rules = yaml.safe_load((INFRA / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    fired = {case["alertname"] for one in tested for case in one["alert_rule_test"] if case["exp_alerts"]}
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
    (config,) = [one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == "foveal-config"]
    pool = json.loads(config["data"]["work-pool.json"])
    given = {name: field.get("default") for name, field in pool["variables"]["properties"].items()}
    given |= {"command": ["prefect", "flow-run", "execute"], "env": [], "labels": {}, "annotations": {}, "name": "run"}

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        if isinstance(value, str) and (whole := re.fullmatch(r"\{\{ (\w+) \}\}", value)):
            return given[whole[1]]
        return re.sub(r"\{\{ (\w+) \}\}", lambda part: given[part[1]], value) if isinstance(value, str) else value

    return fill(pool["job_configuration"]["job_manifest"])


def test_kubernetes_schemas_accept_every_object_strictly(overlay):
    import kubernetes_validate

    _, objects = overlay
    for one in [*objects, job(objects)]:
        kubernetes_validate.validate(one, "1.34", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(objects[0] | {"spce": {}}, "1.34", strict=True)


def test_every_pod_is_pinned_limited_and_may_run_under_the_restricted_standard(overlay):
    name, objects = overlay
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
        mounts = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounts <= {volume["name"] for volume in pod.get("volumes", [])} | {"data"}, what
    images = {what: pod["containers"][0]["image"] for what, pod in pods(objects)}
    suffix = "-gpu" if name == "gpu" else ""
    assert images["a run"] == images["dask-worker"] == f"foveal:0.1.0{suffix}"


def test_every_pod_that_stays_up_says_whether_it_is_healthy(overlay):
    for one in of_kind(overlay[1], "Deployment", "StatefulSet"):
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), one["metadata"]["name"]


def test_what_pods_refer_to_is_there_and_secrets_are_not(overlay):
    _, objects = overlay
    there = {(one["kind"], one["metadata"]["name"]) for one in objects}
    text = json.dumps([pod for _, pod in pods(objects)])
    assert of_kind(objects, "Secret") == []
    assert set(re.findall(r'"secretRef": \{"name": "([\w-]+)"', text)) == {"foveal-clients", "foveal-servers"}
    for kind, key in (
        ("ConfigMap", "configMapRef"),
        ("ConfigMap", "configMap"),
        ("PersistentVolumeClaim", "persistentVolumeClaim"),
    ):
        named = re.findall(rf'"{key}": \{{"(?:name|claimName)": "([\w-]+)"', text)
        assert named
        assert {(kind, name) for name in named} <= there
    accounts = {pod["serviceAccountName"] for _, pod in pods(objects) if "serviceAccountName" in pod}
    assert {("ServiceAccount", name) for name in accounts} <= there


def test_the_environment_is_quiet_and_names_services_that_exist(overlay):
    _, objects = overlay
    (config,) = [one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == "foveal-environment"]
    assert SWITCHES.items() <= config["data"].items()
    ports = {
        (one["metadata"]["name"], port["port"]) for one in of_kind(objects, "Service") for port in one["spec"]["ports"]
    }
    addresses = re.findall(r"(?:http|tcp)://(\w+):(\d+)", json.dumps(config["data"]))
    assert len(addresses) == 3
    assert {(host, int(port)) for host, port in addresses} <= ports
    for one in of_kind(objects, "Service"):
        selected = [
            other for other in of_kind(objects, "Deployment", "StatefulSet")
            if one["spec"]["selector"].items() <= other["spec"]["template"]["metadata"]["labels"].items()
        ]  # fmt: skip
        assert len(selected) == 1, one["metadata"]["name"]


def test_nobody_from_outside_is_let_in_but_prometheus(overlay):
    policies = of_kind(overlay[1], "NetworkPolicy")
    (deny,) = [one for one in policies if one["spec"]["podSelector"] == {}]
    assert "ingress" not in deny["spec"]
    peers = [peer for one in policies for rule in one["spec"].get("ingress", []) for peer in rule["from"]]
    outside = [peer for peer in peers if "namespaceSelector" in peer]
    assert [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in outside] == [
        "monitoring"
    ]


def test_the_worker_may_manage_jobs_and_nothing_else(overlay):
    (role,) = of_kind(overlay[1], "Role")
    changed = [rule["resources"] for rule in role["rules"] if set(rule["verbs"]) - {"get", "list", "watch"}]
    assert changed == [["jobs"]]
    assert of_kind(overlay[1], "ClusterRole", "ClusterRoleBinding") == []


def test_prefects_server_on_a_cluster_keeps_and_copies_them_likewise(overlay, monkeypatch):
    pod = dict(pods(overlay[1]))["prefect"]
    (container,) = pod["containers"]
    given = {one["name"]: one["value"] for one in container["env"]}
    volumes = {one["name"]: one for one in pod["volumes"]}
    places = {Path(mount["mountPath"]): volumes[mount["name"]] for mount in container["volumeMounts"]}
    leases, pages = places_of_prefect(given, monkeypatch)
    assert any("persistentVolumeClaim" in places.get(parent, {}) for parent in leases.parents)
    assert any(parent in places for parent in pages.parents)


def test_the_worker_watches_its_jobs_namespace_and_leaves_the_password_where_it_is(overlay):
    (container,) = dict(pods(overlay[1]))["worker"]["containers"]
    told = {one["name"].removeprefix("PREFECT_INTEGRATIONS_KUBERNETES_"): one["value"] for one in container["env"]}
    run = job(overlay[1])
    assert told["OBSERVER_NAMESPACES"] == run["metadata"]["namespace"]
    secret = {"secretRef": {"name": told["WORKER_API_AUTH_STRING_SECRET_NAME"]}}
    assert secret in run["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    assert f"--from-literal={told['WORKER_API_AUTH_STRING_SECRET_KEY']}=" in created_with(secret["secretRef"]["name"])


def created_with(secret: str) -> str:
    """The command that makes a secret, as the page on infrastructure says it."""
    page = (INFRA / "README.md").read_text().replace("\\\n", " ")
    return next(line for line in page.splitlines() if f"create secret generic {secret} " in line)


def test_what_deploying_writes_for_the_forms_is_where_runs_see_it(overlay):
    written, seen = dict(pods(overlay[1]))["worker"], dict(pods(overlay[1]))["a run"]
    assert data_claim(written, written["initContainers"][0]) == data_claim(seen, seen["containers"][0])


def data_claim(pod: dict[str, Any], container: dict[str, Any]) -> str:
    """The claim behind the storage root of a container."""
    (name,) = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/data"]
    (claim,) = [one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if one["name"] == name]
    return claim


def test_compose_and_kubernetes_share_what_is_the_same_in_both():
    base = INFRA / "kubernetes" / "base"
    assert (base / "databases.sql").read_text() == (INFRA / "postgres" / "databases.sql").read_text()
    assert (base / "basic_auth.ini").read_text() == (INFRA / "mlflow" / "basic_auth.ini").read_text()
    pools = [json.loads((folder / "work-pool.json").read_text()) for folder in (base, base.parent / "overlays" / "gpu")]
    (limits,) = [
        pool["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
        for pool in pools[1:]
    ]
    assert limits.pop("nvidia.com/gpu") == 1
    assert pools[1]["variables"]["properties"].pop("image")["default"] == "foveal:0.1.0-gpu"
    assert pools[0]["variables"]["properties"].pop("image")["default"] == "foveal:0.1.0"
    assert pools[0] == pools[1]


def test_a_container_of_a_work_pool_has_the_workers_servers_and_passwords_and_keeps_its_files(monkeypatch):
    """What Prefect makes of the template, up to where its worker for Docker, which is an extra, takes over."""
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
    told = WorkPoolInput(name="gpu", type="docker", image="foveal:1", env={"FOVEAL_STORE": "s3://vision/store"})
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):  # which is not asked for anything
        made = asyncio.run(Container.from_template_and_values(template, told.job_variables))
    assert (made.image, made.env["FOVEAL_STORE"]) == ("foveal:1", "s3://vision/store")
    assert (made.env["MLFLOW_TRACKING_PASSWORD"], made.env["FOVEAL_ALERT_URLS"]) == ("secret-of-mlflow", "")
    assert "secret" not in json.dumps(template), "Prefect keeps the template"
    assert {volume.partition(":")[2] for volume in made.volumes} == {made.env["FOVEAL_HOME"]} == {"/data"}
    made.container_create_kwargs |= {"version": "1.44", "image": made.image, "command": None}
    host = _create_container_args(made.container_create_kwargs)["host_config"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["DeviceRequests"]) == (True, ["ALL"], [])


@pytest.mark.parametrize("script", sorted(INFRA.rglob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_parse(script):
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("file", sorted([*INFRA.rglob("*.yaml"), *INFRA.rglob("*.yml")]), ids=lambda path: path.name)
def test_every_yaml_file_parses(file):
    assert list(yaml.safe_load_all(file.read_text()))
