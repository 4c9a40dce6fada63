"""What can be checked of Kubernetes' objects without a cluster."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from components.telemetry import SWITCHES
from tests.unit.infra.files import PINNED, created_with, job, of_kind, pods, secrets_of_cluster


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
