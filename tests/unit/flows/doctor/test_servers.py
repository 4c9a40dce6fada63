"""Servers that answer or do not, of another version, with a password, or in another time."""

from __future__ import annotations

import base64
import os
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import pytest

from flows.doctor import servers
from flows.doctor.finding import State
from flows.runtime.processes import free_port
from flows.runtime.root_lock import announcing_up, occupying
from flows.runtime.settings import Settings


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Serve a version as MLflow does, as the doctor's server; return its findings on MLflow."""
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    for name in (
        "PREFECT_API_URL",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    begun = []

    def begin(text: str, *, login: str = "", ahead: timedelta = timedelta()):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                expected = f"Basic {base64.b64encode(login.encode()).decode()}"
                allowed = not login or self.headers.get("Authorization") == expected
                self.send_response_only(200 if allowed else 401)
                self.send_header("Date", format_datetime(datetime.now(UTC) + ahead, usegmt=True))
                self.end_headers()
                self.wfile.write(b"OK" if self.path == "/health" else text.encode())

            def log_message(self, *arguments):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        begun.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        return mlflow()

    yield begin
    for server in begun:
        server.shutdown()
        server.server_close()


def mlflow():
    return [
        found
        for found in servers.examine(Settings.from_environment())
        if found.name.startswith("mlflow")
    ]


def test_a_server_of_the_librarys_version_is_ok(serve):
    (found,) = serve(version("mlflow"))
    assert (
        found.state is State.OK
        and version("mlflow") in found.found
        and "MLFLOW_TRACKING_URI" in found.found
    )


@pytest.mark.parametrize(
    ("other", "state"), [("2.22.0", State.FAIL), ("3.1.0", State.WARN), ("<html>", State.FAIL)]
)
def test_another_version_is_named_beside_the_librarys(serve, other, state):
    (found,) = serve(other)
    assert found.state is state and repr(other) in found.found and version("mlflow") in found.found


def test_each_page_of_a_foveal_up_on_the_root_is_asked(serve):
    serve(version("mlflow"))
    settings, dead = Settings.from_environment(), f"http://127.0.0.1:{free_port()}"
    addresses = {
        "mlflow": settings.tracking_uri,
        "evidently": dead,
        "metrics": settings.tracking_uri,
    }
    with occupying(settings.root), announcing_up(settings.root, f"{dead}/api", addresses):
        found = {
            one.name: one for one in servers.examine(settings) if one.name.endswith("of foveal up")
        }
    assert {name: one.state.value for name, one in found.items()} == {
        "mlflow of foveal up": "ok",
        "evidently of foveal up": "fail",
        "metrics of foveal up": "ok",
    }
    assert (
        dead in found["evidently of foveal up"].found
        and "evidently.log" in found["evidently of foveal up"].hint
    )


def test_a_server_that_nobody_started_fails_with_its_address(serve, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    (found,) = mlflow()
    assert found.state is State.FAIL and "refused" in found.found
    assert found.hint == "start it, or correct or unset MLFLOW_TRACKING_URI"


def test_credentials_are_asked_for_where_they_are_missing_and_used_where_they_are_there(
    serve, monkeypatch
):
    (found,) = serve(version("mlflow"), login="ann:secret")
    assert found.state is State.FAIL and "401" in found.found and "password" in found.hint
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    (found,) = mlflow()
    assert found.state is State.OK and "secret" not in found.found


def test_a_user_in_the_url_is_who_asks_and_is_not_shown(serve, monkeypatch):
    serve(version("mlflow"), login="ann:sec ret")
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI",
        os.environ["MLFLOW_TRACKING_URI"].replace("//", "//ann:sec%20ret@") + "/",
    )
    (found,) = mlflow()
    assert found.state is State.OK and "sec" not in found.found


def test_a_server_in_another_time_is_warned_of(serve):
    _, clock = serve(version("mlflow"), ahead=timedelta(hours=-1))
    assert (
        clock.state is State.WARN and "behind this machine's" in clock.found and "NTP" in clock.hint
    )


def test_without_servers_nothing_is_wrong_and_nothing_is_made(serve, monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert [found.state for found in servers.examine(Settings.from_environment())] == [
        State.OK,
        State.OK,
    ]
    assert not (tmp_path / "home").exists()
