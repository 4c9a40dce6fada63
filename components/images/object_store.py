"""A folder on this machine or in any store that fsspec knows, with files whole or absent."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from components.errors import ConfigError, DatasetError, FovealError, UnavailableError
from components.files import flush, flush_folder, make_folder
from components.images.remote import ask, is_file, open_remote, reason

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ASIDE = ".aside"  # where files are written before they appear; listings pass over it
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MOVES = 5  # how often a folder may be removed between its making and the move into it


def checked_part(text: str, what: str) -> str:
    """A name, if it is safe as one part of a path.

    Arguments:
        text: the name.
        what: what it names, for the message.

    Raises:
        ConfigError: it is not.
    """
    if not _PART.fullmatch(text):
        raise ConfigError(
            f"a {what} of up to 200 letters, digits, '-', '_' and '.', starting with a letter or a "
            "digit",
            found=repr(text),
            hint="choose another one",
        )
    return text


class Folder:
    """Files below one root, by relative paths with ``/``.

    A file appears with its whole content or not at all: on this machine it is written aside,
    flushed and moved; an object store shows an object once its upload is complete. Stores that show
    a file while it grows (SFTP, WebDAV) do not give that.

    Arguments:
        root: a folder, made when first written to, or a URL, such as ``"s3://bucket/monitoring"``.

    Raises:
        ConfigError: fsspec does not know the URL, or it chains several stores.
        UnavailableError: the URL's scheme needs a package that is not installed. The methods raise
            it too, when the store cannot be reached or refuses.
    """

    def __init__(self, root: str | Path) -> None:
        from fsspec.implementations.local import LocalFileSystem

        self.url = str(root)
        self._store, self._root = _open_store(self.url)
        self._local = isinstance(self._store, LocalFileSystem)

    def files(self, folder: str) -> list[str]:
        """Names of the files directly in a folder, sorted; none if there is no such folder."""
        return self._list(folder, "file")

    def folders(self, folder: str) -> list[str]:
        """Return the sorted names of the folders directly in a folder, none if it is missing.

        An empty `folder` is the root.
        """
        return self._list(folder, "directory")

    def exists(self, path: str) -> bool:
        """Tell whether a file is there now, whatever an earlier listing said."""
        with self._reported(path):
            self._store.invalidate_cache()
            return is_file(self._store, self._full(path))

    def read_all(self, paths: Sequence[str]) -> list[bytes | None]:
        """Read several files' contents, at once where the store can; None for a missing one."""
        if not paths:
            return []
        full = [self._full(path) for path in paths]
        with self._reported(paths[0]):
            found = self._store.cat_ranges(full, None, None, on_error="return")
        for path, content in zip(paths, found, strict=True):
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                with self._reported(path):
                    raise content
        return [None if isinstance(content, Exception) else bytes(content) for content in found]

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """A file to read from, as pyarrow takes it.

        Raises:
            FileNotFoundError: it is missing, or goes missing while it is read.
        """
        with self._reported(path):
            file = ask(self._store, "open", self._full(path), "rb")
        with file:
            yield file

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a local folder of the caller's own, to write files in before they are `put`.

        Afterwards it is gone.
        """
        beside = self._full(ASIDE) if self._local else None
        with self._reported(ASIDE):
            if beside:
                os.makedirs(beside, exist_ok=True)
            folder = tempfile.mkdtemp(dir=beside)
        try:
            yield Path(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def put(self, file: Path, path: str) -> None:
        """Move a file from the `scratch` folder into place; what was there is replaced."""
        target = self._full(path)
        with self._reported(path):
            if self._local:
                flush(file)
                _into_place(os.replace, file, target)
            else:
                # however large the file is
                ask(self._store, "put_file", str(file), target, bounded=False)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file unless it is there: of several writers one succeeds.

        On this machine that is certain, as on stores with conditional writes behind fsspec's
        ``mode="create"`` (S3, Google, Azure). Elsewhere fsspec looks before it writes, and of two
        writers in the same moment the last wins.

        Returns:
            Whether this call wrote it.
        """
        target = self._full(path)
        if not self._local:
            return self._create_remote(path, target, content)
        with self.scratch() as folder, self._reported(path):
            aside = folder / "content"
            aside.write_bytes(content)
            flush(aside)
            try:
                _into_place(os.link, aside, target)
            except FileExistsError:
                return False
            return True

    def _create_remote(self, path: str, target: str, content: bytes) -> bool:
        with self._reported(path):
            try:
                self._store.pipe_file(target, content, mode="create")
            except FileExistsError:
                return False
            except Exception:
                # S3 reports a lost race, and its own retry of a write that did succeed, as some
                # other error
                if not self.exists(path):
                    raise
                return self.read_all([path]) == [content]
            return True

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with self._reported(path), suppress(FileNotFoundError):
            ask(self._store, "rm_file", self._full(path))

    def remove_folder(self, path: str) -> None:
        """Remove a folder and the files directly in it; it stays if a writer adds one meanwhile."""
        for name in self.files(path):
            self.remove(f"{path}/{name}")
        with suppress(OSError):  # not empty, or a store that has no folders
            self._store.rmdir(self._full(path))

    def sweep(self, *, before: datetime) -> None:
        """Remove what killed writers left aside and nobody has written to since `before`."""
        if self._local and os.path.isdir(self._full(ASIDE)):
            for left in Path(self._full(ASIDE)).iterdir():
                with suppress(FileNotFoundError):
                    if left.stat().st_mtime < before.timestamp():
                        shutil.rmtree(left, ignore_errors=True)

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _list(self, folder: str, kind: str) -> list[str]:
        full = self._full(folder)
        with self._reported(folder):
            self._store.invalidate_cache()  # another process may have written since
            try:
                found = ask(self._store, "ls", full, detail=True)
            except FileNotFoundError:
                return []
        names = [
            info["name"].rstrip("/").rpartition("/")[2] for info in found if info["type"] == kind
        ]
        return sorted(name for name in names if not name.startswith("."))

    @contextmanager
    def _reported(self, path: str) -> Iterator[None]:
        try:
            yield
        except (FovealError, FileNotFoundError):
            raise
        except Exception as error:  # each store raises errors of its own
            raise UnavailableError(
                "a store that can be read and written",
                found=f"{self.url}/{path}: {reason(error)}",
                hint="check the path and your access to it; a local file system must know hard "
                "links",
            ) from error


@contextmanager
def undamaged(path: str) -> Iterator[None]:
    """Report what cannot be parsed as a damaged file; a missing one stays a `FileNotFoundError`.

    Raises:
        DatasetError: the file at `path` is damaged.
    """
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(
            "a whole file", found=f"{path}: {error}", hint="bring it back from a backup"
        ) from error


def _open_store(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system behind a path or a URL, and the root in it without a slash at its end."""
    from fsspec.implementations.local import LocalFileSystem

    if "://" not in url:
        return LocalFileSystem(), os.path.abspath(os.path.expanduser(url))
    if "::" in url:  # a cache or an archive in between would show old or half content
        raise ConfigError(
            "a folder or the URL of one store", found=url, hint="leave out what is before '::'"
        )
    try:
        store, path = open_remote(url)
    except FovealError:
        raise
    except Exception as error:  # each store raises errors of its own
        raise ConfigError(
            "a folder or the URL of one", found=f"{url}: {reason(error)}", hint="check it"
        ) from error
    return store, path.rstrip("/")


def _into_place(move: Callable[[Path, str], None], file: Path, target: str) -> None:
    for attempt in range(1, _MOVES + 1):
        make_folder(Path(target).parent)
        try:
            move(file, target)
            return flush_folder(Path(target).parent)
        except FileNotFoundError:  # somebody removed the folder because it was empty
            if attempt == _MOVES or not file.exists():
                raise
