"""A share that does not answer any more: a real file system whose server hangs."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.errors import OutageError
from components.images.bounded import read_bytes
from components.images.places import place_of
from components.images.sources import ImageSource, fingerprint, list_images

_LIBC = ctypes.CDLL(None, use_errno=True)
_LOOKUP, _GETATTR, _OPEN, _RELEASE, _INIT, _OPENDIR = 1, 3, 14, 18, 26, 27  # of linux/fuse.h
_FORCE, _DETACH = 1, 2  # of umount2(2)


class HungShare:
    """Serves a file ``a.jpg`` of 1000 bytes by the kernel's FUSE protocol, and answers no read.

    Arguments:
        mount: where.
        silent: requests that are not answered either.
    """

    def __init__(self, mount: Path, silent: frozenset[int] = frozenset()) -> None:
        self._device, self._mount, self._silent = os.open("/dev/fuse", os.O_RDWR), mount, silent
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0".encode()
        if _LIBC.mount(b"hung", bytes(mount), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), "mount")
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Let whoever waits go, with an error."""
        _LIBC.umount2(bytes(self._mount), _FORCE | _DETACH)
        os.close(self._device)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 1 << 18)
            except OSError:
                return
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            answers = {
                _INIT: struct.pack("<IIIIHHIIHHI", 7, 31, 1 << 16, 0, 16, 12, 1 << 16, 1, 0, 0, 0)
                + bytes(28),
                _GETATTR: struct.pack("<QII", 60, 0, 0) + self._attributes(node),
                _LOOKUP: struct.pack("<QQQQII", 2, 0, 60, 60, 0, 0) + self._attributes(2),
                _OPEN: struct.pack("<QII", 1, 0, 0),
                _OPENDIR: struct.pack("<QII", 1, 0, 0),
                _RELEASE: b"",
            }
            if opcode not in self._silent and (answer := answers.get(opcode)) is not None:
                os.write(self._device, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)

    def _attributes(self, node: int) -> bytes:
        mode, size = (0o40755, 0) if node == 1 else (0o100644, 1000)
        return struct.pack(
            "<QQQQQQIIIIIIIIII", node, size, 2, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
        )


@contextmanager
def mounted(mount: Path, silent: frozenset[int] = frozenset()) -> Iterator[Path]:
    mount.mkdir()
    try:
        served = HungShare(mount, silent)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    try:
        yield mount
    finally:
        served.close()


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    """Where it is mounted."""
    with mounted(tmp_path / "share") as mount:
        yield mount


@pytest.mark.timeout(120)
def test_a_read_from_a_share_that_hangs_is_given_up_and_named(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOVEAL_READ_TIMEOUT_S", "1")
    for hangs in (lambda: read_bytes(f"{share}/a.jpg"), lambda: list_images(share)):
        with pytest.raises(OutageError, match="no answer within 1 s"):
            hangs()
    assert place_of(f"{share}/a.jpg") == str(share)


@pytest.mark.timeout(120)
def test_a_share_that_gives_no_attributes_is_waited_for_once_and_not_for_each_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOVEAL_READ_TIMEOUT_S", "5")
    here = tmp_path / "here.jpg"
    here.write_bytes(b"content")
    with mounted(tmp_path / "share", frozenset({_LOOKUP, _GETATTR})) as share:
        images = [ImageSource(name, f"{share}/{name}") for name in ("a.jpg", *"bcdef")]
        started = time.monotonic()
        assert [fingerprint(image)[2:] for image in images] == [("",)] * 6
        # six waits are twice as long, one is a sixth
        assert time.monotonic() - started < 5 * len(images) / 2
        assert fingerprint(ImageSource("here.jpg", str(here)))[2] == 7
