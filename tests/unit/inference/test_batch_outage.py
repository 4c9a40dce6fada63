"""A batch run over a real object store that goes away in the middle of it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.contracts import Variant
from components.errors import OutageError, UnavailableError
from components.images.sources import ImageSource
from components.inference import BatchSettings, run_batch

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


class Store(ThreadingHTTPServer):
    """Serves a folder's files for `restart_policy` requests, then 503 until told otherwise."""

    daemon_threads = True

    def __init__(self, folder, restart_policy):
        self.folder, self.restart_policy, self.asked = folder, restart_policy, []
        super().__init__(("127.0.0.1", 0), _Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def images(self):
        names = sorted(path.name for path in self.folder.iterdir())
        return [ImageSource(name, f"http://127.0.0.1:{self.server_port}/{name}") for name in names]


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        there = len(self.server.asked) < self.server.restart_policy and not name.endswith("?fail")
        if there:
            self.server.asked.append(name)
        self.send_response(200 if there else 503)
        self.end_headers()
        if there:
            self.wfile.write((self.server.folder / name).read_bytes())

    def log_message(self, *_):
        pass


def run(store, detector, output):
    return run_over(store.images(), detector, output)


def run_over(images, detector, output, **more):
    settings = BatchSettings(threads=1, batch=2, shard_images=2, decode_threads=1, **more)
    return run_batch(
        images, Variant("colours/1", detector, "onnxruntime"), output, settings=settings
    )


def test_an_outage_stops_the_run_writes_no_image_off_and_the_next_run_fetches_only_what_is_left(
    photos, detector, tmp_path
):
    with Store(photos, restart_policy=7) as store:
        with pytest.raises(UnavailableError, match="503"):
            run(store, detector, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        store.restart_policy = 100
        store.asked.clear()
        done = run(store, detector, tmp_path / "out")
        store.shutdown()
    assert (done.processed, done.failures) == (10, ())
    assert len(store.asked) < 10
    assert len(set(store.asked)) == len(store.asked)


def mixed(alive, dead):
    """The images of two hosts in turn."""
    pairs = zip(alive.images(), dead.images(), strict=True)
    return [
        ImageSource(f"{host}/{one.image_id}", one.uri)
        for pair in pairs
        for host, one in zip("ab", pair, strict=True)
    ]


def test_with_leave_to_go_on_a_dead_host_costs_its_images_and_is_named(photos, detector, tmp_path):
    with Store(photos, restart_policy=100) as alive, Store(photos, restart_policy=0) as dead:
        images = mixed(alive, dead)
        done = run_over(images, detector, tmp_path / "out", keep_going=True)
        assert done.unreachable == ((f"http://127.0.0.1:{dead.server_port}", 10),)
        assert (done.processed, len(done.failures)) == (10, 10)
        assert all(failure.image_id.startswith("b/") for failure in done.failures)
        assert sum("none to 3 images before it" in failure.error for failure in done.failures) >= 6
        dead.restart_policy = 100  # it is back: the same run is made again
        assert run_over(images, detector, tmp_path / "out", keep_going=True).processed == 20
        for store in (alive, dead):
            store.shutdown()


def test_one_url_that_fails_for_good_costs_one_image(photos, detector, tmp_path):
    with Store(photos, restart_policy=100) as alive:
        broken = ImageSource("broken", f"http://127.0.0.1:{alive.server_port}/05.png?fail")
        done = run_over([*alive.images(), broken], detector, tmp_path / "out", keep_going=True)
        alive.shutdown()
    assert [failure.image_id for failure in done.failures] == ["broken"]
    assert done.unreachable[0][1] == 1


def test_when_no_host_answers_the_run_stops_and_writes_no_image_off(photos, detector, tmp_path):
    with Store(photos, restart_policy=0) as dead, Store(photos, restart_policy=0) as other:
        with pytest.raises(OutageError):
            run_over(mixed(dead, other)[:4], detector, tmp_path / "out", keep_going=True)
        for store in (dead, other):
            store.shutdown()
    assert not (tmp_path / "out").exists()
