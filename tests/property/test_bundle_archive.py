"""No changed byte of a bundle's zip passes, and no zip whatever writes outside its folder."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import BundleError
from components.package.archive import unpack, write_zip

FAST = settings(max_examples=100, deadline=None)  # a busy machine is no bug
FILES = {"model.onnx": bytes(range(200)), "golden/0001.png": b"PNG" * 30, "SHA256SUMS": b"0" * 64}


def _packed() -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "in"
        for name, content in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return write_zip(folder, Path(scratch) / "x.zip").read_bytes()


PACKED = _packed()


def _unpacked(content: bytes) -> dict[str, bytes] | None:
    """Return what comes out, None for a `BundleError`; else raise nothing and write nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "x.zip").write_bytes(content)
        try:
            out = unpack(place / "x.zip", place / "out")
        except BundleError:
            assert [path.name for path in place.iterdir()] == ["x.zip"]
            return None
        assert sorted(path.name for path in place.iterdir()) == ["out", "x.zip"]
        return {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file()
        }


@FAST
@given(position=st.integers(0, len(PACKED) - 1), flip=st.integers(1, 255))
def test_changed_byte_is_refused_or_shows_in_the_names_or_changes_nothing(
    position: int, flip: int
) -> None:
    changed = bytearray(PACKED)
    changed[position] ^= flip
    found = _unpacked(bytes(changed))
    assert found is None or found == FILES or set(found) != set(FILES)


@FAST
@given(st.dictionaries(st.text(min_size=1, max_size=12), st.binary(max_size=50), max_size=4))
def test_any_names_unpack_inside_or_not_at_all(entries: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), content)
    found = _unpacked(buffer.getvalue())
    assert found is None or len(found) <= len(entries)
