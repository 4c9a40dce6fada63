"""What is inside a file that `torch.save` wrote, looked at as bytes: nothing of it is loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path

from components.backends.session import translated
from components.errors import ModelError

# bytes that a checkpoint may gain by unpacking; torch compresses source code only
MAX_GROWTH = 100_000_000
_MAX_BYTES = 16 << 20  # of a checkpoint's description; a zip keeps weights in other entries
_LEGACY = b"\x80\x02"  # how torch began its files before they were zip archives


def entries_of(path: Path) -> set[str]:
    """Return base names in a zip archive, none for a legacy pickle.

    Raises:
        ModelError: the archive is damaged, or would grow on reading.
    """
    if not zipfile.is_zipfile(path):
        return set()
    with translated(ModelError, "a whole checkpoint", path.name), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    unpacked, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if unpacked > size + MAX_GROWTH:
        raise ModelError(
            "a checkpoint as torch saves it, with its weights uncompressed",
            found=f"{path.name}, which unpacks from {size / 1e6:.0f} to {unpacked / 1e6:.0f} MB",
            hint="load it with torch and save it again, if you trust it",
        )
    return {entry.filename.rpartition("/")[2] for entry in entries}


def pickle_of(path: Path) -> bytes:
    """Return the beginning of a checkpoint's pickle.

    It is empty for TorchScript, which torch traces or compiles and nothing trains further, and for
    whatever else is no checkpoint.
    """
    try:
        if not path.is_file():
            return b""
        if zipfile.is_zipfile(path):
            return _in_archive(path)
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except (OSError, zipfile.BadZipFile):
        return b""
    return content if content.startswith(_LEGACY) else b""


def _in_archive(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename.rpartition("/")[2]: entry for entry in archive.infolist()}
        if "constants.pkl" in entries or "data.pkl" not in entries:  # TorchScript has the first
            return b""
        with archive.open(entries["data.pkl"]) as pickled:
            return pickled.read(_MAX_BYTES)
