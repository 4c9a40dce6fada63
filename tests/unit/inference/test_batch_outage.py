"""A batch run over a real object store that goes away in the middle of it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.errors import UnavailableError
from components.images.sources import ImageSource
from components.inference import run_batch

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


class Store(ThreadingHTTPServer):
    """Serves a folder's files until `patience` requests were answered, then 503 until told otherwise."""

    daemon_threads = True

    def __init__(self, folder, patience):
        self.folder, self.patience, self.asked = folder, patience, []
        super().__init__(("127.0.0.1", 0), _Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def images(self):
        names = sorted(path.name for path in self.folder.iterdir())
        return [ImageSource(name, f"http://127.0.0.1:{self.server_port}/{name}") for name in names]


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        there = len(self.server.asked) < self.server.patience
        if there:
            self.server.asked.append(name)
        self.send_response(200 if there else 503)
        self.end_headers()
        if there:
            self.wfile.write((self.server.folder / name).read_bytes())

    def log_message(self, *_):
        pass


def run(store, detector, output):
    options = {"backend": "onnxruntime", "model": "colours/1", "threads": 1, "batch": 2, "shard_images": 2}
    return run_batch(store.images(), artifact=detector, output=output, decode_threads=1, **options)


def test_an_outage_stops_the_run_writes_no_image_off_and_the_next_run_fetches_only_what_is_left(
    photos, detector, tmp_path
):
    with Store(photos, patience=7) as store:
        with pytest.raises(UnavailableError, match="503"):
            run(store, detector, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        store.patience = 100
        store.asked.clear()
        done = run(store, detector, tmp_path / "out")
        store.shutdown()
    assert (done.processed, done.failures) == (10, ())
    assert len(store.asked) < 10
    assert len(set(store.asked)) == len(store.asked)
