from __future__ import annotations

import io
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from components.errors import BundleError, ConfigError
from components.package.archive import unpack, write_zip


def zipped(
    path: Path, entries: list[tuple[zipfile.ZipInfo | str, bytes]], method: int = zipfile.ZIP_STORED
) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of duplicate names, which some of these tests are about
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


def test_what_was_packed_comes_out_again(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "c.bin").write_bytes(bytes(range(256)) * 10_000)
    (folder / "ä.txt").write_text("ö")
    out = unpack(write_zip(folder, tmp_path / "x.zip"), tmp_path / "out")
    assert {
        p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()
    } == {
        "a/b/c.bin": bytes(range(256)) * 10_000,
        "ä.txt": "ö".encode(),
    }


@pytest.mark.parametrize(
    "name",
    ["../evil", "/evil", "a/../../evil", "..", "C:/evil", "a\\..\\evil", "a/\\evil", "./../evil"],
)
def test_entry_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "x.zip", [("fine.txt", b"1"), (zipfile.ZipInfo(name), b"2")])
    with pytest.raises(BundleError, match="plain, unencrypted files inside the bundle's folder"):
        unpack(archive, tmp_path / "deep" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip"]


def test_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BundleError, match="'link'"):
        unpack(zipped(tmp_path / "x.zip", [(link, b"/etc/passwd")]), tmp_path / "out")


@pytest.mark.parametrize("names", [("a", "a"), ("a.txt", "A.TXT")])
def test_file_that_comes_twice_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(BundleError, match="each file once"):
        unpack(zipped(tmp_path / "x.zip", [(name, b"1") for name in names]), tmp_path / "out")


def test_encrypted_entry_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [("a", b"1")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # the flag in the central directory
    archive.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="'a'"):
        unpack(archive, tmp_path / "out")


def test_bomb_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [("zeros", bytes(40_000_000))], zipfile.ZIP_DEFLATED)
    assert archive.stat().st_size < 100_000
    with pytest.raises(BundleError, match="1 files of 40 MB"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_entry_that_lies_about_its_size_is_cut_off(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [("zeros", bytes(3_000_000))], zipfile.ZIP_DEFLATED)
    content = bytearray(archive.read_bytes())
    directory = content.index(b"PK\1\2")
    content[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    archive.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"x\.zip"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [(f"{k}", b"") for k in range(10_001)])
    with pytest.raises(BundleError, match="10001 files"):
        unpack(archive, tmp_path / "out")


def test_folder_that_holds_something_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("1")
    archive = zipped(tmp_path / "x.zip", [("a", b"1")])
    with pytest.raises(ConfigError, match="new or empty folder"):
        unpack(archive, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "1"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_zip_is_refused_by_name(tmp_path: Path, share: float) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", bytes(1000))
    path = tmp_path / "short.zip"
    path.write_bytes(buffer.getvalue()[: int(share * buffer.tell())])
    with pytest.raises(BundleError, match=r"short\.zip"):
        unpack(path, tmp_path / "out")
