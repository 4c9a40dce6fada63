"""Files that are whole or absent, after a power cut too: atomic writes, content hashes, checks."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from components.regular import open_regular

MANY = 200  # files; beyond, one flush of everything takes less time than one for each
_FOOTER = 8  # bytes at the end of a Parquet file: the length of its metadata, and PAR1


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_tree(folder: Path, pattern: str = "*", *, without: str = "") -> str:
    """Hash the sorted relative names and contents of matching files below `folder`, as hex sha256.

    Arguments:
        folder: to look in.
        pattern: of the files' names.
        without: name of a file in `folder` itself that is passed over.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob(pattern) if p.is_file() and p != folder / without):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def sha256_path(path: Path) -> str:
    """Content hash of a file or of a whole folder."""
    return sha256_tree(path) if path.is_dir() else sha256_file(path)


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON-serialisable value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write a file or a folder to; it takes its place on success.

    On an exception what was written is removed and `target` stays as it was, so a reader sees the
    old content or the whole new content, never a part. That holds after a power cut: the content is
    on the disk before its name is. The yielded path keeps the target's suffix.
    """
    target = Path(target)
    make_folder(target.parent)
    aside = target.with_name(f".{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        yield aside
        flush(aside)
        _take_place(aside, target)
        flush_folder(target.parent)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they are still there after a power cut."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        flush_folder(place.parent)


def flush(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk."""
    places = [path, *path.rglob("*")] if path.is_dir() else [path]
    if len(places) > MANY:
        return os.sync()
    for place in places:
        if place.is_dir():
            flush_folder(place)
        elif not place.is_symlink():
            with place.open("rb") as file:
                os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    That needs a file system that knows how, and a folder that is still there.
    """
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_whole(path: Path) -> bool:
    """Tell whether a file is there and ends as its kind does.

    JSON and Parquet have an end, others a first byte.

    What was written without a flush may be empty after a power cut, or filled with zeros.
    """
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
            return True
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if path.suffix != ".parquet":
                return size > 0
            file.seek(max(size - _FOOTER, 0))
            footer = file.read()
        return footer[4:] == b"PAR1" and int.from_bytes(footer[:4], "little") + _FOOTER < size
    except (OSError, ValueError, RecursionError):
        return False


def _take_place(aside: Path, target: Path) -> None:
    """Rename over what is there.

    Of several processes that do so at once each succeeds, and the last one stays.
    """
    while True:
        old = target.with_name(f".{uuid.uuid4().hex[:8]}-old-{target.name}")
        if target.is_dir():
            with suppress(FileNotFoundError):  # another process took it away just now
                os.replace(target, old)
        try:
            return os.replace(aside, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR):
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


def write_text(target: Path, text: str) -> Path:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(target) as aside:
        aside.write_text(text, encoding="utf-8")
    return target


def write_json(target: Path, value: Any) -> Path:
    """Write indented JSON, whole or not at all."""
    return write_text(target, json.dumps(value, indent=2, sort_keys=True) + "\n")
