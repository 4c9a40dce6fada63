"""The bundle's zip: equal files give equal bytes.

A foreign zip can neither write elsewhere nor fill the disk.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from components.errors import BundleError, ConfigError
from components.files import replacing

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can say
MAX_FILES = 10_000
MAX_BYTES = 8 << 30
MAX_EXPANSION = 100  # times the archive's own size; ours are not compressed at all
FREE_BYTES = 16 << 20  # below this an expansion is no attack
BLOCK = 1 << 20
_ENCRYPTED = 1


def write_zip(folder: Path, target: Path) -> Path:
    """Pack all files below `folder`, sorted, with one date and one mode, whole or not at all.

    Nothing is compressed: weights hardly shrink, and the bytes would depend on the release of zlib.
    """
    with replacing(target) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
            entry.create_system = 3  # Unix, wherever it is packed
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            with (
                path.open("rb") as source,
                archive.open(entry, "w", force_zip64=path.stat().st_size > 1 << 31) as sink,
            ):
                while block := source.read(BLOCK):
                    sink.write(block)
    return target


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a bundle's zip into a new or empty folder, whole or not at all.

    Raises:
        ConfigError: something is in the folder.
        BundleError: it is no zip, is damaged, would write outside the folder, or is unreasonably
            large; the message names the file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "a new or empty folder", found=f"something at {folder}", hint="choose another place"
        )
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(opened, archive)
            with replacing(folder) as aside:
                aside.mkdir()
                for entry in entries:
                    _extract(opened, entry, aside)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise BundleError(
            "a whole zip of a bundle", found=f"{archive}: {error}", hint="fetch it again"
        ) from error
    return folder


def _checked(opened: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    """The entries that are files, all of them harmless by what they declare."""
    entries = [entry for entry in opened.infolist() if not entry.filename.endswith("/")]
    total = sum(entry.file_size for entry in entries)
    bound = min(MAX_BYTES, max(FREE_BYTES, MAX_EXPANSION * archive.stat().st_size))
    if len(entries) > MAX_FILES or total > bound:
        raise BundleError(
            f"at most {MAX_FILES} files of {bound / 1e6:.0f} MB in all",
            found=f"{len(entries)} files of {total / 1e6:.0f} MB in {archive}",
        )
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        if not _is_plain(entry):
            raise BundleError(
                "plain, unencrypted files inside the bundle's folder",
                found=f"{name!r} in {archive}",
            )
        if name.casefold() in seen:
            raise BundleError("each file once", found=f"{name!r} twice in {archive}")
        seen.add(name.casefold())
    return entries


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    readable = (
        entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        and not entry.flag_bits & _ENCRYPTED
    )
    return is_inside(entry.filename) and kind in (0, stat.S_IFREG) and readable


def is_inside(name: str) -> bool:
    """Tell whether a relative name with forward slashes stays inside the folder it starts from."""
    parts = PurePosixPath(name).parts
    strange = any(character in name for character in "\\:\0")
    return bool(parts) and not strange and not name.startswith("/") and ".." not in parts


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """Write one entry, no more of it than it declares; its checksum is checked at its end."""
    target = folder / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with opened.open(entry) as source, target.open("xb") as sink:
        while block := source.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile(f"{entry.filename} is larger than it says")
            sink.write(block)
