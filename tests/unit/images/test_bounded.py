"""Files and streams that would block, never end, or fill memory: refused in time, with reason."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from components.daemons import DaemonPool, call_within
from components.datasets.dataset import load_dataset
from components.datasets.formats import read_labels
from components.datasets.labels import LabelTask
from components.errors import ConfigError, DatasetError, FovealError, ImageError, OutageError
from components.files import sha256_file
from components.images.bounded import holding, read_bytes
from components.images.budget import Budget
from components.images.places import MAX_FAILURES, RETRY_S, Places, Silence, place_of
from components.images.reading import check_head, image_size, read_image
from components.images.sources import list_images
from components.limits import Limits
from components.optimize import ModelOptions, open_model
from components.package import read_manifest
from components.regular import open_regular, read_regular
from components.targets import load_target
from flows.config.base import read_config
from flows.config.release import ReleaseConfig
from tests import pages

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "fifo": (fifo, "a FIFO"),
    "zero": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "terminal": (lambda path: path.symlink_to("/dev/tty"), "a device"),
    "socket": (bound_socket, "a socket"),
    "folder": (lambda path: path.mkdir(), "directory"),
    "loop": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "sparse": (
        lambda path: (path.touch(), os.truncate(path, 30_000_000_000))[0],
        "30,000 MB.*FOVEAL_MAX_FILE_MB",
    ),
}


@pytest.mark.parametrize(("make", "words"), SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_regular_file_of_a_sensible_size_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], words: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket may be 107 bytes long
    path = Path("x.jpg")
    make(path)
    for read in (read_image, lambda one: read_bytes(str(one))):
        with pytest.raises(ImageError, match=rf"x\.jpg: .*{words}"):
            read(path)
    if "MB" not in words:
        for refuse in (open_regular, read_regular, sha256_file):
            with pytest.raises(OSError):
                refuse(path)
        with pytest.raises(ImageError, match=words):
            image_size(path)


def test_a_listing_names_special_files_so_that_each_gets_a_row(tmp_path: Path) -> None:
    fifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").touch()
    for source in (tmp_path, tmp_path / "*.jpg"):
        assert [image.image_id for image in list_images(source)] == ["a.jpg", "b.jpg"]
    fifo(tmp_path / "all.txt")
    with pytest.raises(DatasetError):
        list_images(tmp_path / "all.txt")


def test_a_file_that_is_not_an_image_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.touch()
    os.truncate(path, 400_000_000)
    before = psutil.Process().memory_info().rss
    with pytest.raises(ImageError, match="another kind of file"):
        read_image(path)
    with pytest.raises(ImageError, match="another kind of file"), holding(str(path), check_head):
        pass
    assert psutil.Process().memory_info().rss - before < 50_000_000


@contextmanager
def serving(body: Callable[[], Iterator[bytes]], **headers: str) -> Iterator[str]:
    """Serve one image with this body."""
    with pages.serving({"/a.jpg": body}, **headers) as url:
        yield f"{url}/a.jpg"


def endless(first: bytes = b"") -> Iterator[bytes]:
    yield first
    while True:
        yield bytes(65536)


def test_a_body_without_an_end_is_cut_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEAL_MAX_FILE_MB", "20")
    with (
        serving(lambda: endless(b"\xff\xd8\xff")) as url,
        pytest.raises(ImageError, match="more than the 20 MB"),
    ):
        read_image(url)
    with serving(endless) as url, pytest.raises(ImageError, match="another kind of file"):
        read_image(url)
    with serving(lambda: endless(b"\xff\xd8\xff"), Content_Length="40000000") as url:
        with pytest.raises(ImageError, match="40 MB, which is more than the 20 MB"):
            read_image(url)


@pytest.mark.slow
def test_a_body_that_is_packed_small_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOVEAL_MAX_FILE_MB", "20")
    bomb = gzip.compress(b"\xff\xd8\xff" + bytes(300_000_000), 9)
    before = psutil.Process().memory_info().rss
    with serving(
        lambda: iter([bomb]), Content_Encoding="gzip", Content_Length=str(len(bomb))
    ) as url:
        with pytest.raises(ImageError, match="more than the 20 MB"):
            read_image(url)
    assert psutil.Process().memory_info().rss - before < 150_000_000


def test_an_image_that_is_packed_by_the_server_is_read(tmp_path: Path) -> None:
    with serving(lambda: iter([gzip.compress(b"content")]), Content_Encoding="gzip") as url:
        assert read_bytes(url) == b"content"


def test_a_large_file_is_read_whole_from_disk_and_from_a_store(tmp_path: Path) -> None:
    content = os.urandom(1000) * 9000
    path = tmp_path / "large.jpg"
    path.write_bytes(content)
    assert read_bytes(str(path)) == content
    with sharing(tmp_path) as url:
        assert read_bytes(f"{url}/large.jpg") == content


@contextmanager
def sharing(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (lambda path: read_config(path, ReleaseConfig), "release.yaml"),
        (lambda path: load_dataset(path, "val"), "data.yaml"),
        (lambda path: load_target(path), "tiny.toml"),
        (lambda path: read_labels(path, LabelTask("detect", ("a",))), "labels.json"),
        (lambda path: read_manifest(path.parent), "manifest.json"),
        (lambda path: open_model(path, workdir=path.parent / "work"), "model.onnx"),
        (
            lambda path: open_model(
                path, ModelOptions(trust_pickle=True), workdir=path.parent / "work"
            ),
            "model.pt",
        ),
    ],
)
@pytest.mark.timeout(60)
def test_whatever_else_is_read_from_outside_is_a_regular_file(
    tmp_path: Path, read: Callable[[Path], object], name: str
) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(FovealError, match=name.partition(".")[0]):
        read(tmp_path / name)


@pytest.mark.parametrize("value", ["0", "-1", "many", "inf", "nan"])
def test_a_limit_that_is_no_positive_number_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FOVEAL_MAX_FILE_MB", value)
    with pytest.raises(ConfigError, match="FOVEAL_MAX_FILE_MB"):
        Limits.from_environment()


def test_a_call_that_hangs_is_given_up_and_the_next_one_is_made() -> None:
    hangs = threading.Event()
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
        call_within(0.2, hangs.wait)
    assert call_within(30, lambda: "answer") == "answer"
    assert time.monotonic() - started < 20
    hangs.set()


def test_a_call_raises_what_it_raised() -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        call_within(30, fail)


def test_a_pool_has_no_more_threads_than_it_may() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    pool = DaemonPool(3)
    for future in [pool.submit(work) for _ in range(30)]:
        future.result(30)
    pool.close()
    assert most == 3


def test_a_budget_is_never_exceeded_and_who_wants_more_than_all_gets_all() -> None:
    budget, held, most, lock = Budget(), 0, 0, threading.Lock()

    def work(weight: int) -> None:
        nonlocal held, most
        with budget.hold(weight, 10):
            with lock:
                held += min(weight, 10)
                most = max(most, held)
            time.sleep(0.002)
            with lock:
                held -= min(weight, 10)

    threads = [
        threading.Thread(target=work, args=(weight,)) for weight in [1, 9, 4, 25, 3, 3, 10, 2] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 0 < most <= 10


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("https://anna@host:8443/a/b.jpg?page=2", "https://host:8443"),
        ("s3://bucket/a.jpg", "s3://bucket"),
        ("/proc/self/x.jpg", "/proc"),
    ],
)
def test_a_place_is_a_host_a_bucket_or_a_mount(uri: str, place: str) -> None:
    assert place_of(uri) == place


def test_a_dead_place_is_not_asked_any_more_until_a_while_has_passed() -> None:
    now = 0.0
    places = Places(["https://dead/a", "https://alive/a"], keep_going=True, clock=lambda: now)
    for _ in range(MAX_FAILURES):
        assert places.excuses("https://dead/a")
        with pytest.raises(OutageError, match="an answer"), places.asking("https://dead/a"):
            raise OutageError("an answer", found="none")
    with (
        pytest.raises(OutageError, match="none to 3 images before it"),
        places.asking("https://dead/b"),
    ):
        raise AssertionError("it is asked")
    with places.asking("https://alive/a"):
        pass
    assert places.excuses("https://dead/b")
    now = RETRY_S + 1
    with places.asking("https://dead/b"):
        pass
    with places.asking("https://dead/c"):
        pass


def test_a_folder_that_is_silent_is_asked_again_after_a_while_and_a_mount_after_three_of_them() -> (
    None
):
    now = 0.0
    silence = Silence(lambda: now)
    silence.begin("/proc/a/1.jpg")
    assert silence.covers("/proc/a/2.jpg") and not silence.covers("/proc/b/1.jpg")
    silence.begin("/proc/b/1.jpg")
    silence.end("/proc/c/1.jpg")
    for folder in "de":
        silence.begin(f"/proc/{folder}/1.jpg")
    assert not silence.covers("/proc/f/1.jpg")
    silence.begin("/proc/g/1.jpg")
    assert silence.covers("/proc/f/1.jpg") and not silence.covers("/sys/1.jpg")
    now = RETRY_S
    assert not silence.covers("/proc/a/2.jpg") and not silence.covers("/proc/f/1.jpg")


def test_links_to_mounts_that_are_silent_do_not_silence_the_root() -> None:
    silence = Silence()
    for folder in "abcd":
        silence.begin(f"/no-mount/{folder}/1.jpg")
    assert silence.covers("/no-mount/a/2.jpg") and not silence.covers("/no-mount/e/1.jpg")


def test_a_run_ends_when_its_only_place_is_dead_and_at_once_without_leave_to_go_on() -> None:
    alone = Places(["https://dead/a"], keep_going=True)
    for failures in range(1, MAX_FAILURES + 1):
        with pytest.raises(OutageError), alone.asking("https://dead/a"):
            raise OutageError("an answer", found="none")
        assert alone.excuses("https://dead/a") is (failures < MAX_FAILURES)
    assert not Places(["https://dead/a", "https://alive/a"]).excuses("https://dead/a")
    assert Places(["/shots/a.jpg"]).excuses("/shots/a.jpg")


def test_the_header_of_a_file_above_the_limit_is_not_read_either(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    os.truncate(path, 30_000_000_000)
    with pytest.raises(ImageError, match="FOVEAL_MAX_FILE_MB"):
        image_size(path)
