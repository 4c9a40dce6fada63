"""Prefect's and Evidently's servers: their places, names and check of host and origin."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.runtime.access import EVERYWHERE, Access
from tests.unit.infra.files import compose, dockerfile, pods


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
