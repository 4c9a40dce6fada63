import threading
import time

import pytest

from components.contracts import Fit, VisionSpec
from components.errors import UnavailableError
from components.images.places import Places
from components.images.sources import ImageSource
from components.inference.prepare import ahead, prepare
from components.vision import task_for

TASK = task_for(VisionSpec("detect", ("thing",), (32, 32), Fit.LETTERBOX, "yolo"))


def test_results_come_in_order_however_long_each_takes():
    def work(k):
        time.sleep(0.01 * (k % 3))
        return k

    assert list(ahead(work, range(12), threads=4, limit=6)) == list(range(12))


def test_no_more_results_wait_than_the_limit():
    started, lock = 0, threading.Lock()

    def work(k):
        nonlocal started
        with lock:
            started += 1
        return k

    stream = ahead(work, range(100), threads=2, limit=5)
    for taken in range(1, 20):
        next(stream)
        time.sleep(0.002)
        assert started <= taken + 5
    stream.close()
    assert started <= 25


def test_work_goes_on_while_the_caller_is_busy():
    done = threading.Semaphore(0)
    stream = ahead(lambda k: done.release() or k, range(5), threads=1, limit=4)
    assert next(stream) == 0
    for _ in range(5):
        assert done.acquire(timeout=60)
    stream.close()


def test_an_exception_comes_at_its_turn():
    def work(k):
        if k == 2:
            raise ValueError("two")
        return k

    stream = ahead(work, range(5), threads=2, limit=4)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(stream)


def test_a_missing_package_is_not_an_images_fault():
    with pytest.raises(UnavailableError):
        prepare(ImageSource("a", "gdrive://bucket/a.jpg"), TASK, Places([]))


def test_an_image_that_cannot_be_reached_says_so():
    prepared = prepare(ImageSource("a", "nosuchstore://bucket/a.jpg"), TASK, Places([]))
    assert "nosuchstore" in prepared.error and prepared.fitted is None
