"""The endpoint for Prometheus: everything known, and what is unreadable is said, not guessed."""

from __future__ import annotations

import socket
import threading
import urllib.request
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from components.contracts import ColumnDrift, DriftDecision, DriftState
from components.errors import UnavailableError
from components.monitoring import ModelStatus
from components.monitoring.alerts.status import LastWindow
from components.monitoring.store.stored import TrendPoint
from components.printing import steers
from flows.runtime.settings import Settings
from flows.services.metrics import FovealCollector, Source, serve_metrics
from model_registry import ModelSummary

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
DECISION = DriftDecision(
    DriftState.WARN, (), (ColumnDrift("brightness", 0.25, 0.2, None, True),), 500, 60
)
LAST = LastWindow(
    "2", AT, DECISION, TrendPoint(AT, DriftState.WARN, 60, 0.25, 0.9, 1.25), {0.5: 4.0, 0.95: 8.0}
)
STATUS = ModelStatus("digits", 3, 180, LAST, {"drift": True, "errors": False})
STANDING = ModelSummary("digits", 2, {"champion": 2, "previous_champion": 1}, {"promoted": 2})


def failing():
    raise UnavailableError("a store that can be read", found="a cut cable")


def scrape(store, registry) -> dict[tuple, float]:
    """Sample name with its labels → value, as Prometheus reads them."""
    collected = CollectorRegistry()
    collected.register(FovealCollector(store, registry))
    families = text_string_to_metric_families(generate_latest(collected).decode())
    return {
        (one.name, *one.labels.values()): one.value for family in families for one in family.samples
    }


def test_what_is_known_of_a_model_is_told():
    found = scrape(Source("store", lambda: (STATUS,)), Source("registry", lambda: (STANDING,)))
    assert found == {
        ("foveal_source_up", "store"): 1,
        ("foveal_source_up", "registry"): 1,
        ("foveal_store_windows", "digits"): 3,
        ("foveal_store_images", "digits"): 180,
        ("foveal_alert_firing", "digits", "drift"): 1,
        ("foveal_alert_firing", "digits", "errors"): 0,
        ("foveal_last_window_timestamp_seconds", "digits"): AT.timestamp(),
        ("foveal_window_version", "digits"): 2,
        **{
            ("foveal_window_state", "digits", state.value): float(state is DriftState.WARN)
            for state in DriftState
        },
        ("foveal_window_images", "digits"): 60,
        ("foveal_window_failed_ratio", "digits"): 0.25,
        ("foveal_window_confidence_ratio", "digits"): 0.9,
        ("foveal_window_inference_seconds", "digits", "0.5"): 0.004,
        ("foveal_window_inference_seconds", "digits", "0.95"): 0.008,
        ("foveal_drift_distance", "brightness", "digits"): 0.25,
        ("foveal_drift_limit", "brightness", "digits"): 0.2,
        ("foveal_model_versions", "digits"): 2,
        ("foveal_decisions_total", "digits", "promoted"): 2,
        ("foveal_champion_version", "digits"): 2,
        ("foveal_previous_champion_version", "digits"): 1,
    }


def test_a_store_that_cannot_be_read_is_down_and_the_rest_is_told(caplog):
    found = scrape(Source("store", failing), Source("registry", lambda: (STANDING,)))
    assert found["foveal_source_up", "store"] == 0
    assert found["foveal_champion_version", "digits"] == 2
    assert not any(name.startswith("foveal_window") for name, *_ in found)
    assert "store: expected a store that can be read, found a cut cable" in caplog.text


def test_a_store_that_hangs_is_down_until_it_answers(caplog):
    answer, asked = threading.Event(), []

    def slow():
        asked.append(1)
        answer.wait(30)
        return (STATUS,)

    source = Source("store", slow, patience_s=0.05)
    registry = Source("registry", lambda: (STANDING,))
    assert scrape(source, registry)["foveal_source_up", "store"] == 0
    assert scrape(source, registry)["foveal_source_up", "store"] == 0
    assert "store: no answer" in caplog.text
    answer.set()
    while source.get() is None:
        pass
    assert scrape(source, registry)["foveal_source_up", "store"] == 1
    assert asked == [1], "who asked meanwhile waited for the same answer"


def test_both_sources_are_asked_at_once():
    other = threading.Event()

    def store():
        other.wait(30)
        return (STATUS,)

    found = scrape(Source("store", store), Source("registry", lambda: other.set() or (STANDING,)))
    assert found["foveal_source_up", "store"] == found["foveal_source_up", "registry"] == 1


@pytest.mark.parametrize(("cache_s", "readings"), [(60.0, 1), (0.0, 3)])
def test_an_answer_is_good_for_a_while(cache_s, readings):
    asked = []
    source = Source("store", lambda: asked.append(1) or (), cache_s=cache_s)
    assert [source.get() for _ in range(3)] == [(), (), ()]
    assert len(asked) == readings


@pytest.mark.slow
def test_the_endpoint_answers_on_an_empty_root_and_a_port_that_is_taken_is_named(
    tmp_path, monkeypatch
):
    for name in ("FOVEAL_STORE", "FOVEAL_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    server = serve_metrics(Settings.from_environment(), "127.0.0.1", 0)
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{server.server_port}/metrics", timeout=60
        ) as answer:
            told = answer.read().decode()
        with pytest.raises(UnavailableError, match="to listen on"):
            serve_metrics(Settings.from_environment(), "127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        server.server_close()
    assert 'foveal_source_up{source="store"} 1.0' in told


@pytest.mark.parametrize(
    "header", ["Host: evil\x1b[31m\x85forged", "Host: HERE\r\nOrigin: http://evil\x1b[31m"]
)
def test_a_request_that_is_refused_steers_no_terminal(tmp_path, monkeypatch, caplog, header):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    server = serve_metrics(Settings.from_environment(), "127.0.0.1", 0)
    here = f"127.0.0.1:{server.server_port}"
    try:
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as asking:
            lines = (
                "GET /%1b[31m%0aforged "
                f"HTTP/1.1\r\n{header.replace('HERE', here)}\r\nConnection: close\r\n\r\n"
            )
            asking.sendall(lines.encode("latin-1"))
            with asking.makefile("rb") as answer:
                said = answer.read().partition(b"\r\n\r\n")[2].decode()
    finally:
        server.shutdown()
        server.server_close()
    (record,) = caplog.records
    assert (
        record.getMessage().startswith("refused /\\x1b[31m\\x0aforged: ")
        and "evil" in record.getMessage()
    )
    assert said.startswith("refused: ") and not steers(record.getMessage() + said.strip())
