"""Prometheus, its alerts and the dashboard ask for what is exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from flows.services.metrics import FovealCollector, Source
from flows.services.services import HEALTH
from tests.unit.infra.files import BASE, INFRA


def test_the_health_of_the_metrics_does_not_hang_on_a_store(services):
    deployment = next(yaml.safe_load_all((BASE / "metrics.yaml").read_text()))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = [
        container[f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "readiness", "liveness")
    ]
    assert set(probes) == {HEALTH["metrics"]}
    assert f":9464{HEALTH['metrics']}'" in services["metrics"]["healthcheck"]["test"][-1]


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
