"""Stores that stumble, refuse, stall: real ones, on this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.errors import ConfigError, DatasetError, ImageError, OutageError, UnavailableError
from components.images.bounded import read_bytes
from components.images.remote import WAITS_S, fetch, is_outage
from components.images.sources import list_images
from components.limits import OversizeError

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@contextmanager
def serving(*answers: int) -> Iterator[str]:
    """Serve these statuses, one a request, the last for ever; 0 is no answer at all."""
    left, done = list(answers), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = left.pop(0) if len(left) > 1 else left[0]
            if not status:
                done.wait(30)
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"content")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/a.jpg"
        done.set()
        server.shutdown()


def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}/a.jpg"


def test_a_store_that_stumbles_is_asked_again():
    with serving(503, 500, 200) as url:
        assert read_bytes(url) == b"content"


def test_a_store_that_refuses_is_an_outage_and_no_fault_of_the_image():
    started = time.monotonic()
    with pytest.raises(
        UnavailableError, match=r"store behind http.*a\.jpg.*goes on where it stopped"
    ):
        read_bytes(nobody())
    assert time.monotonic() - started >= sum(WAITS_S)


def test_a_store_that_fails_for_good_is_an_outage():
    with serving(503) as url, pytest.raises(UnavailableError, match="503"):
        read_bytes(url)


def test_a_store_that_stalls_is_given_up_on_in_time(monkeypatch):
    monkeypatch.setenv("FOVEAL_READ_TIMEOUT_S", "0.5")
    with serving(0) as url, pytest.raises(OutageError, match="answer"):
        read_bytes(url)


def test_an_image_that_is_missing_is_its_own_fault_and_asked_for_once():
    with serving(404, 200) as url, pytest.raises(ImageError):
        read_bytes(url)


def test_what_a_store_forbids_is_not_asked_for_again():
    with serving(403, 200) as url, pytest.raises(ImageError):
        read_bytes(url)


def test_a_listing_of_a_store_that_refuses_is_an_outage():
    with pytest.raises(UnavailableError):
        list_images(nobody().replace("a.jpg", "shots.csv"))


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (ConnectionResetError("gone"), True),
        (TimeoutError(), True),
        (OSError(5, "input/output error"), True),
        (FileNotFoundError(2, "missing"), False),
        (PermissionError(13, "denied"), False),
        (ValueError("nonsense"), False),
    ],
)
def test_an_outage_is_told_from_a_fault_of_what_was_asked_for(error, outage):
    assert is_outage(error) is outage


def test_a_url_with_a_password_is_refused_and_the_password_is_not_repeated(tmp_path):
    manifest = tmp_path / "shots.txt"
    manifest.write_text("s3://AKIA:hu/sh@bucket/a.jpg\n")
    for source in ("https://anna:hush@host/shots", manifest):
        with pytest.raises(ConfigError, match="FSSPEC_") as refused:
            list_images(source)
        assert "hush" not in str(refused.value) and "hu/sh" not in str(refused.value)
    with pytest.raises(ConfigError):
        read_bytes("https://anna:hush@host/a.jpg")


def test_a_monitoring_store_with_a_password_in_its_url_is_refused():
    from components.monitoring import MonitoringStore

    with pytest.raises(ConfigError, match="FSSPEC_SFTP"):
        MonitoringStore("sftp://anna:hush@host/store")


def test_something_that_is_no_listing_is_the_users_mistake():
    with serving(404) as url, pytest.raises(DatasetError):
        list_images(url.replace("a.jpg", "shots/"))


def test_an_object_of_a_bucket_is_read_up_to_the_limit(monkeypatch):
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "ENDPOINT_URL": f"http://{host}:{port}",
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
    }
    for name, value in (settings | {"DEFAULT_REGION": "us-east-1"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()  # another test's has another address
    try:
        bucket = boto3.session.Session().client("s3")
        bucket.create_bucket(Bucket="shots")
        bucket.put_object(Bucket="shots", Key="day/a.jpg", Body=b"content")
        assert [image.image_id for image in list_images("s3://shots/day")] == ["a.jpg"]
        assert fetch("s3://shots/day/a.jpg", limit=7) == b"content"
        with pytest.raises(OversizeError):
            fetch("s3://shots/day/a.jpg", limit=6)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
