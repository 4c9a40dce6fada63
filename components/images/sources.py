"""Image sources: folders, globs, manifests and object stores, listed as names and read as bytes."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

from components.credentials import redact
from components.daemons import call_within
from components.errors import DatasetError, FovealError, OutageError
from components.images.bounded import read_bytes, stat_files
from components.images.lists.reading import LIST_SUFFIXES, read_list
from components.images.names import local_path, local_uri, printable
from components.images.remote import ask, is_file, open_remote, reason, require_no_credentials
from components.limits import Limits
from components.regular import read_regular

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".avif"}
)
MANIFEST_SUFFIXES = frozenset({".txt", *LIST_SUFFIXES})
_LISTED_AT_ONCE = 1000  # matches of a glob, or files, that are asked for within one time limit
_CHECK_URL = "check the URL and your access to it"
# what a listing says of an object's content, in lower case; its storage class or when it was read
# are no part of that
_CONTENT = frozenset(
    {"size", "etag", "md5", "md5hash", "content_md5", "crc32c", "generation", "sha", "blob_id"}
    | {"lastmodified", "last_modified", "mtime", "modified", "created"}
)
# of Google's: the others change with the metadata
_WRITTEN = frozenset({"size", "generation", "md5hash", "crc32c"})


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One image by name.

    Arguments:
        image_id: unique within its listing.
        uri: an absolute path or a URL, which may hold a secret; see `address`.
        state: what the listing of a remote store said of the content (size, time, ETag, …), or
            nothing.
    """

    image_id: str
    uri: str
    state: str = field(default="", compare=False)

    @property
    def address(self) -> str:
        """The URI as it is stored and shown: without its secrets."""
        return redact(self.uri)


def list_images(source: str | Path, *, may_be_empty: bool = False) -> tuple[ImageSource, ...]:
    """List the images of a source, sorted by their ids; no image is opened.

    Hidden files and folders are passed over. Ids are paths relative to the folder, or to the part
    of the glob before its first wildcard. A manifest lists what it names whether it exists or not,
    so that a missing image is recorded as a failure where it is read; its relative paths are
    relative to the manifest.

    Arguments:
        source: a folder (searched recursively), a glob, one image, a manifest (`.txt` with one path
            a line, `.csv` with a column `path` or `uri` and perhaps `image_id`, or `.parquet` with
            those or `image`), or the URL of any of these, such as ``"s3://bucket/shots"`` or
            ``"memory://shots/*.jpg"``.
        may_be_empty: a place that holds no images is no error.

    Raises:
        ConfigError: a URL, or one in a manifest, holds a user or a password.
        DatasetError: there is no such place, it holds no images, or an id comes twice.
        UnavailableError: the URL's scheme needs a package that is not installed, or its store is
            not to be reached.
    """
    text = str(source)
    place = local_path(text)
    listed = list(_remote(text) if place is None else _answered(_local(place), text))
    found = sorted(tell_apart(listed), key=lambda image: image.image_id)
    if not found and not may_be_empty:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise DatasetError("images", found=f"none in {text}", hint=f"known suffixes: {known}")
    for one, other in pairwise(found):
        if one.image_id == other.image_id:
            raise DatasetError(
                "unique image ids",
                found=f"{one.image_id} twice in {text}",
                hint="remove the repeated row, or add a column image_id",
            )
    return tuple(found)


def tell_apart(images: Sequence[ImageSource]) -> Iterator[ImageSource]:
    """Yield the images, with a short hash of the URL in those ids that are equal.

    They are equal because a secret was taken out of them.
    """
    count = Counter(image.image_id for image in images)
    for image in images:
        if count[image.image_id] > 1 and image.address != image.uri:
            yield replace(
                image,
                image_id=f"{image.image_id}#{hashlib.sha256(image.uri.encode()).hexdigest()[:8]}",
            )
        else:
            yield image


def local_file(source: ImageSource) -> Path:
    """The path of an image on this machine.

    Raises:
        DatasetError: it is elsewhere.
    """
    path = local_path(source.uri)
    if path is None:
        raise DatasetError(
            "images on this machine", found=source.uri, hint="copy them to a local folder"
        )
    return Path(path)


def fingerprint(source: ImageSource) -> tuple[str | int, ...]:
    """Return values that show cheaply whether an image changed.

    They are its names with its size and time, or with the store's listing.

    A remote image that a manifest names was not listed; it is taken for the same as long as its
    names are.
    """
    return next(fingerprints([source]))


def fingerprints(sources: Iterable[ImageSource]) -> Iterator[tuple[str | int, ...]]:
    """Yield the `fingerprint` of each image, a thousand files within one time limit."""
    remaining = iter(sources)
    while some := list(islice(remaining, _LISTED_AT_ONCE)):
        for source, stat in zip(some, stat_files([one.uri for one in some]), strict=True):
            if stat is None:  # remote, or not there: then reading it will tell
                yield source.image_id, source.address, source.state
            else:
                yield source.image_id, source.address, stat.st_size, stat.st_mtime_ns


def is_gone(source: ImageSource, listed: Container[str]) -> bool:
    """Tell whether an image is certainly gone: a missing local file, or an unlisted remote one.

    Arguments:
        source: the image, as it was listed once.
        listed: addresses of what is listed now.
    """
    path = local_path(source.uri)
    if path is None:
        return source.address not in listed
    try:
        call_within(Limits.from_environment().seconds, partial(os.lstat, path))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _answered(parts: Iterator[list[ImageSource]], text: str) -> Iterator[ImageSource]:
    """Yield a listing, unless a part of it, such as a folder, takes too long: a mount may hang."""
    seconds = Limits.from_environment().seconds
    while True:
        try:
            part = call_within(seconds, lambda: next(parts, None))
        except TimeoutError as error:
            raise OutageError(
                "an answer of the disk or the share",
                found=f"{text}: {reason(error)}",
                hint="look at its mount",
            ) from error
        if part is None:
            return
        yield from part


def _local(text: str) -> Iterator[list[ImageSource]]:
    path = os.path.abspath(os.path.expanduser(text))
    if os.path.isdir(path):
        yield from (list(_visible(files, path)) for files in _walk(path))
    elif os.path.isfile(path) and suffix_of(path) in MANIFEST_SUFFIXES:
        try:
            content = read_regular(path)
        except OSError as error:
            raise DatasetError("a readable manifest", found=f"{path}: {error.strerror}") from error
        yield list(_manifest(content, path))
    elif os.path.isfile(path) and suffix_of(path) in IMAGE_SUFFIXES:
        yield [ImageSource(printable(os.path.basename(path)), local_uri(path))]
    elif glob.has_magic(path):
        matches = (match for match in glob.iglob(path, recursive=True) if not os.path.isdir(match))
        while some := list(islice(matches, _LISTED_AT_ONCE)):
            yield list(_visible(some, _fixed_part(path)))
    else:
        _nothing(text, exists=os.path.exists(path))


def _walk(folder: str) -> Iterator[list[str]]:
    """Yield all files below a folder, one folder after the other, through links.

    No folder is entered twice, so that a loop ends.
    """

    def unreadable(error: OSError) -> NoReturn:
        raise DatasetError(
            "a readable folder", found=f"{error.filename}: {error.strerror}"
        ) from error

    seen = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        yield [os.path.join(parent, file) for file in files]
        entered = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(parent, name))
            if real not in seen and not name.startswith("."):
                seen.add(real)
                entered.append(name)
        folders[:] = entered


def _remote(url: str) -> Iterator[ImageSource]:
    if "::" in url:  # names inside an archive do not say which archive they are in
        raise DatasetError(
            "a URL of one store", found=url, hint="unpack the archive, or name a copy of it"
        )
    try:
        filesystem, path = open_remote(url)
        filesystem.invalidate_cache()  # a listing that is a night old would hide the day's images
        if is_file(filesystem, path):
            yield from _remote_file(url, filesystem, path)
            return
        pattern = glob.has_magic(path) and not ask(filesystem, "isdir", path)
        listed = ask(filesystem, "glob" if pattern else "find", path, detail=True)
        urls = {name: str(filesystem.unstrip_protocol(name)) for name in listed}
    except FovealError:
        raise
    except Exception as error:  # each store raises errors of its own
        raise DatasetError(
            "a readable folder", found=f"{url}: {reason(error)}", hint=_CHECK_URL
        ) from error
    for image in _visible(listed, _fixed_part(path) if pattern else path, listed=True):
        yield ImageSource(image.image_id, urls[image.uri], _state(listed[image.uri]))


def _state(entry: Mapping[str, Any]) -> str:
    known = {name.lower(): value for name, value in entry.items() if name.lower() in _CONTENT}
    told = known.keys() & _WRITTEN if "generation" in known else known.keys()
    return repr(sorted((name, known[name]) for name in told))


def _remote_file(url: str, filesystem: AbstractFileSystem, path: str) -> Iterator[ImageSource]:
    if suffix_of(path) in MANIFEST_SUFFIXES:
        yield from _manifest(read_bytes(url), filesystem.unstrip_protocol(path))
    elif suffix_of(path) in IMAGE_SUFFIXES:
        yield ImageSource(printable(path.rpartition("/")[2]), filesystem.unstrip_protocol(path))
    else:
        _nothing(url, exists=True)


def _visible(paths: Iterable[str], base: str, *, listed: bool = False) -> Iterator[ImageSource]:
    """Yield the images among `paths` that are not hidden, by ids below `base`.

    The paths are local, or those that a store listed.
    """
    for path in paths:
        name = path.removeprefix(base).replace(os.sep, "/").lstrip("/")
        hidden = any(part.startswith(".") for part in name.split("/"))
        if suffix_of(name) in IMAGE_SUFFIXES and not hidden:
            yield ImageSource(printable(name), path if listed else local_uri(path))


def _manifest(content: bytes, manifest: str) -> Iterator[ImageSource]:
    folder = manifest_folder(manifest)
    if suffix_of(manifest) == ".parquet":
        columns = read_list(io.BytesIO(content), manifest)
        paths = columns.paths.to_pylist()
        ids = columns.ids.to_pylist() if columns.ids else [None] * len(paths)
        for path, image_id in zip(paths, ids, strict=True):
            yield listed_image(folder, path, image_id)
        return
    for number, row in enumerate(_text_rows(content, manifest), 1):
        path = row.get("path") or row.get("uri") or ""
        if path.strip():  # but never cut: a name may begin or end with a space
            yield listed_image(folder, path, row.get("image_id"))
        elif suffix_of(manifest) == ".csv":
            raise DatasetError(
                "a column path or uri that is filled in every row",
                found=f"row {number} of {manifest} with the columns {', '.join(map(str, row))}",
            )


def _text_rows(content: bytes, manifest: str) -> list[dict[str, str]]:
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        lines = ({"path": line.removesuffix("\n").removesuffix("\r")} for line in text)
        return list(csv.DictReader(text) if suffix_of(manifest) == ".csv" else lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            "a manifest as UTF-8 text", found=f"{manifest}: {error}", hint="save it again"
        ) from error


def manifest_folder(manifest: str) -> str:
    """The folder of a manifest, a path or a URL, to which its paths are relative."""
    return manifest.rpartition("/" if "://" in manifest else os.sep)[0]


def listed_image(folder: str, path: str, image_id: str | None) -> ImageSource:
    """An image as a manifest names it.

    Arguments:
        folder: of the manifest.
        path: a path, relative to it or not, or a URL.
        image_id: its name, if it has one other than the path.

    Raises:
        ConfigError: the URL holds a user or a password.
    """
    if "://" in path:
        require_no_credentials(path)
    return ImageSource(printable(redact(image_id or path)), _beside(folder, path))


def _beside(folder: str, path: str) -> str:
    if "://" in path:
        return path
    return (
        f"{folder}/{path}"
        if "://" in folder
        else local_uri(os.path.normpath(os.path.join(folder, path)))
    )


def _fixed_part(pattern: str) -> str:
    """The folder of a glob before its first wildcard: ``a/b/*/c.jpg`` → ``a/b``."""
    parts = pattern.split("/")
    wild = next(
        (position for position, part in enumerate(parts) if glob.has_magic(part)), len(parts)
    )
    return "/".join(parts[:wild])


def suffix_of(name: str) -> str:
    """The last suffix of a path or URL, in lower case."""
    return PurePosixPath(name).suffix.lower()


def _nothing(source: str, *, exists: bool) -> NoReturn:
    raise DatasetError(
        "a folder, a glob, an image, a manifest (.txt, .csv, .parquet) or a URL of one",
        found=f"{source}, a file of another kind" if exists else f"nothing at {source}",
        hint="" if exists else "check the path",
    )
