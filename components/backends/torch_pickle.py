"""The pickle inside a file that `torch.save` wrote, read as bytes: nothing of it is loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path

_MAX_BYTES = 16 << 20  # of a checkpoint's description; a zip keeps weights in other entries
_LEGACY = b"\x80\x02"  # how torch began its files before they were zip archives


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
