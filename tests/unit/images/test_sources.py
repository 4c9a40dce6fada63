"""Listing and reading images from folders, globs, manifests and stores."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from components.errors import DatasetError, ImageError, UnavailableError
from components.images.bounded import read_bytes
from components.images.reading import read_image
from components.images.sources import ImageSource, fingerprint, is_gone, list_images


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def ids(source: str | Path) -> list[str]:
    return [image.image_id for image in list_images(source)]


@pytest.fixture
def store() -> Iterator[str]:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("b.png", "a.jpg", "sub/c.JPEG", "sub/.hidden.jpg", ".trash/d.jpg", "notes.md"):
        memory.pipe(f"/shots/{name}", name.encode())
    yield "memory://shots"
    memory.rm("/shots", recursive=True)


def test_a_folder_lists_its_visible_images_sorted_and_recursively(tmp_path: Path) -> None:
    fill(
        tmp_path,
        "b.jpg",
        "a/z.PNG",
        "a/b/y.TIFF",
        "c.webp",
        "notes.md",
        ".x.jpg",
        "a/.cache/w.jpg",
        "labels.txt",
    )
    assert list_images(tmp_path) == tuple(
        ImageSource(name, str(tmp_path / name))
        for name in ("a/b/y.TIFF", "a/z.PNG", "b.jpg", "c.webp")
    )


def test_a_folder_inside_a_hidden_one_is_listed_when_it_is_named(tmp_path: Path) -> None:
    assert ids(fill(tmp_path / ".data" / "shots", "a.jpg")) == ["a.jpg"]


def test_a_relative_folder_gives_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "shots/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert list_images("shots") == (ImageSource("a.jpg", str(tmp_path / "shots" / "a.jpg")),)


def test_linked_folders_are_followed_and_a_loop_of_links_ends(tmp_path: Path) -> None:
    shots = fill(tmp_path / "shots", "a.jpg")
    elsewhere = fill(tmp_path / "elsewhere", "b.jpg")
    (shots / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(shots)
    assert ids(shots) == ["a.jpg", "linked/b.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    closed = fill(tmp_path, "a.jpg", "closed/b.jpg") / "closed"
    closed.chmod(0)
    try:
        with pytest.raises(DatasetError, match="closed"):
            list_images(tmp_path)
    finally:
        closed.chmod(0o755)


def test_a_glob_lists_images_with_ids_from_its_first_wildcard(tmp_path: Path) -> None:
    fill(tmp_path, "day/1/a.jpg", "day/2/b.jpg", "day/2/c.md", "night/1/d.jpg", "day/2/e.jpg/f.png")
    assert ids(f"{tmp_path}/day/*/*.jpg") == ["1/a.jpg", "2/b.jpg"]
    assert ids(f"{tmp_path}/**/*.jpg") == ["day/1/a.jpg", "day/2/b.jpg", "night/1/d.jpg"]


def test_a_folder_whose_name_looks_like_a_glob_is_a_folder(tmp_path: Path) -> None:
    assert ids(fill(tmp_path / "shots [2024]", "a.jpg")) == ["a.jpg"]


def test_one_image_is_a_source_of_one(tmp_path: Path) -> None:
    path = fill(tmp_path, "a/b.JPG") / "a" / "b.JPG"
    assert list_images(path) == (ImageSource("b.JPG", str(path)),)


def test_a_text_manifest_is_relative_to_itself_and_may_name_missing_images(tmp_path: Path) -> None:
    manifest = fill(tmp_path, "lists/a.jpg") / "lists" / "all.txt"
    manifest.write_bytes(
        "\ufeffb/../a.jpg\r\n\r\n./gone.jpg \n/abs/é.jpg\nmemory://x/y.png\n../up.raw\n".encode()
    )
    assert list_images(manifest) == (
        ImageSource("../up.raw", str(tmp_path / "up.raw")),
        ImageSource("./gone.jpg ", str(tmp_path / "lists" / "gone.jpg ")),
        ImageSource("/abs/é.jpg", "/abs/é.jpg"),
        ImageSource("b/../a.jpg", str(tmp_path / "lists" / "a.jpg")),
        ImageSource("memory://x/y.png", "memory://x/y.png"),
    )


@pytest.mark.parametrize("column", ["path", "uri"])
def test_a_csv_manifest_may_name_ids(tmp_path: Path, column: str) -> None:
    manifest = tmp_path / "all.CSV"
    manifest.write_text(f'image_id,{column},camera\nz,"a, b.jpg",1\n,c.jpg,2\n')
    assert list_images(manifest) == (
        ImageSource("c.jpg", str(tmp_path / "c.jpg")),
        ImageSource("z", str(tmp_path / "a, b.jpg")),
    )


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", b"image_id,path\none,a.jpg\none,b.jpg\n", "one twice"),
        ("a.txt", b"a.jpg\nb.jpg\na.jpg\n", "a.jpg twice"),
        ("a.csv", b"file\na.jpg\n", "row 1 of .* with the columns file"),
        ("a.csv", b"path,image_id\na.jpg,1\n,2\n", "row 2"),
        ("a.csv", b"path\n", "none in"),
        ("a.txt", b"\n\n", "none in"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_a_manifest_that_cannot_be_meant_is_an_error(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=complaint):
        list_images(tmp_path / name)


NAMES = [
    b" a.jpg",
    b"a.jpg",
    b"a.jpg .jpg",
    "\u00a0a.jpg".encode(),
    "a\u2028b.jpg".encode(),
    b"\xff\xfe.jpg",
    b"\x1b[2J\n.jpg",
]


def test_names_of_any_bytes_are_listed_read_and_told_apart(tmp_path: Path) -> None:
    for name in NAMES:
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(name)
    found = list_images(tmp_path)
    assert sorted(read_bytes(image.uri) for image in found) == sorted(NAMES)
    told = {image.image_id for image in found}
    assert told == {
        " a.jpg", "a.jpg", "a.jpg .jpg", "\u00a0a.jpg", r"a\u2028b.jpg", r"\xff\xfe.jpg",
        r"\x1b[2J\x0a.jpg",
    }  # fmt: skip
    manifest = tmp_path / "all.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["image_id", "uri"], *([image.image_id, image.uri] for image in found)]
        )
    assert {image.uri for image in list_images(manifest)} == {image.uri for image in found}
    json.dumps([fingerprint(image) for image in found]).encode()


def test_a_text_manifest_keeps_the_spaces_of_names(tmp_path: Path) -> None:
    fill(tmp_path, " a.jpg", "a.jpg", "\u00a0b.jpg")
    (tmp_path / "all.txt").write_bytes(" a.jpg\na.jpg\r\n\u00a0b.jpg\n   \n".encode())
    assert ids(tmp_path / "all.txt") == [" a.jpg", "a.jpg", "\u00a0b.jpg"]


def test_secrets_of_addresses_are_in_no_id_and_in_no_address(tmp_path: Path) -> None:
    manifest = tmp_path / "all.txt"
    manifest.write_text(
        "https://host/a.jpg?X-Amz-Signature=hush1&page=2\n"
        "https://host/b.jpg?token=hush2\nhttps://host/b.jpg?token=hush3\n"
    )
    found = list_images(manifest)
    assert [image.image_id.partition("#")[0] for image in found] == [
        "https://host/a.jpg?X-Amz-Signature=…&page=2",
        "https://host/b.jpg?token=…",
        "https://host/b.jpg?token=…",
    ]
    assert len({image.image_id for image in found}) == 3
    assert "hush" not in "".join(
        image.image_id + image.address + str(fingerprint(image)) for image in found
    )
    assert {image.uri[-5:] for image in found} >= {"hush2", "hush3"}


def test_an_image_is_gone_when_its_file_is_or_when_it_is_not_listed_any_more(
    tmp_path: Path,
) -> None:
    (there,) = list_images(fill(tmp_path, "a.jpg"))
    assert not is_gone(there, ())
    assert is_gone(ImageSource("b", str(tmp_path / "b.jpg")), ())
    assert is_gone(ImageSource("b", str(tmp_path / "a.jpg" / "b.jpg")), ())
    remote = ImageSource("c", "https://host/c.jpg?token=hush")
    assert is_gone(remote, ())
    assert not is_gone(remote, {"https://host/c.jpg?token=…"})


def test_sources_without_images_are_errors(tmp_path: Path) -> None:
    fill(tmp_path, "notes.md", "empty/notes.md")
    for source, complaint in {
        "empty": "none in",
        "empty/*.jpg": "none in",
        "missing": "nothing at",
        "notes.md": "a file of another kind",
    }.items():
        with pytest.raises(DatasetError, match=complaint):
            list_images(tmp_path / source)


def test_a_store_lists_folders_globs_and_single_images(store: str) -> None:
    assert list_images(store) == (
        ImageSource("a.jpg", "memory:///shots/a.jpg"),
        ImageSource("b.png", "memory:///shots/b.png"),
        ImageSource("sub/c.JPEG", "memory:///shots/sub/c.JPEG"),
    )
    assert ids(f"{store}/*.jpg") == ["a.jpg"]
    assert ids(f"{store}/sub/c.JPEG") == ["c.JPEG"]
    assert [read_bytes(image.uri) for image in list_images(store)] == [
        b"a.jpg",
        b"b.png",
        b"sub/c.JPEG",
    ]


def test_a_manifest_in_a_store_is_relative_to_itself(store: str) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe(
        "/shots/lists/all.csv", b"path\ngone.jpg\nmemory://other/x.jpg\n"
    )
    assert [image.uri for image in list_images(f"{store}/lists/all.csv")] == [
        "memory:///shots/lists/gone.jpg",
        "memory://other/x.jpg",
    ]


def test_file_urls_name_local_files(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "sub/b.jpg")
    found = list_images(tmp_path.as_uri())
    assert [image.image_id for image in found] == ["a.jpg", "sub/b.jpg"]
    assert [read_bytes(image.uri) for image in found] == [b"a.jpg", b"sub/b.jpg"]
    fill(tmp_path, "shots [2024]/c.jpg")
    assert ids(f"file://{tmp_path}/shots [2024]") == ["c.jpg"]


def test_urls_that_lead_nowhere_are_errors(store: str) -> None:
    for url, complaint in {
        "memory://missing": "none in",
        f"{store}/notes.md": "a file of another kind",
        "nosuchscheme://bucket": "nosuchscheme",
        "zip://*.png::memory://shots/all.zip": "a URL of one store",
    }.items():
        with pytest.raises(DatasetError, match=complaint):
            list_images(url)


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_store_whose_package_is_missing_says_what_to_install() -> None:
    with pytest.raises(UnavailableError, match="s3fs"):
        list_images("s3://bucket/shots")
    with pytest.raises(UnavailableError, match="s3fs"):
        read_bytes("s3://bucket/shots/a.jpg")


@pytest.mark.parametrize(
    "uri", ["{folder}/gone.jpg", "{folder}", "memory://gone.jpg", "nosuch://b/a.jpg"]
)
def test_a_file_that_cannot_be_read_is_an_image_error_with_its_name(
    tmp_path: Path, uri: str
) -> None:
    uri = uri.format(folder=tmp_path)
    for read in (read_bytes, read_image):
        with pytest.raises(ImageError) as caught:
            read(uri)
        assert uri in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_fingerprint_follows_name_size_and_time_of_an_image(tmp_path: Path) -> None:
    path = fill(tmp_path, "a.jpg") / "a.jpg"
    source = ImageSource("a", str(path))
    seen = [fingerprint(source)]
    assert fingerprint(source) == seen[0]
    path.write_bytes(b"longer than before")
    seen.append(fingerprint(source))
    os.utime(path, ns=(0, 1))
    seen.append(fingerprint(source))
    assert fingerprint(ImageSource("a", path.as_uri()))[2:] == seen[-1][2:]
    seen.append(fingerprint(ImageSource("b", str(path))))
    path.unlink()
    seen.append(fingerprint(source))
    assert len(set(seen)) == len(seen)


def test_a_fingerprint_of_a_listed_remote_image_follows_its_content() -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    seen = []
    for content in (b"day", b"day and night"):
        store.pipe("/shots/a.jpg", content)
        for url in ("memory://shots", "memory://shots/*.jpg"):
            (source,) = list_images(url)
            seen.append(fingerprint(source))
    store.rm("/shots", recursive=True)
    assert seen[0] == seen[1] != seen[2] == seen[3]


def test_a_fingerprint_of_a_remote_image_that_was_not_listed_is_its_names() -> None:
    assert fingerprint(ImageSource("a", "memory://x/a.jpg")) == ("a", "memory://x/a.jpg", "")


def test_local_paths_do_not_import_fsspec(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    code = (
        "import sys; from components.images.bounded import read_bytes; "
        "from components.images.sources import list_images; "
        "assert read_bytes(list_images(sys.argv[1])[0].uri) == b'a.jpg'; assert 'fsspec' not in "
        "sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=300)


def test_a_place_without_images_may_be_asked_for_but_no_place_at_all_may_not(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "empty/notes.md")
    for empty in (tmp_path / "empty", tmp_path / "empty" / "*.jpg", "memory://missing"):
        assert list_images(empty, may_be_empty=True) == ()
    with pytest.raises(DatasetError, match="nothing at"):
        list_images(tmp_path / "gone", may_be_empty=True)


class Tagged(MemoryFileSystem):  # type: ignore[misc]
    """A store whose listings say what object stores say, as `entry` has it."""

    protocol = "tagged"
    entry: ClassVar[dict[str, Any]] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("tagged://"))

    def find(self, path: str, **options: Any) -> Any:
        return {
            name: {**listed, **self.entry} for name, listed in super().find(path, **options).items()
        }


@pytest.fixture
def depot() -> Iterator[Any]:
    """What a listing that says so makes of the one image of a store: ``depot(ETag="a")``."""
    fsspec.register_implementation("tagged", Tagged, clobber=True)
    store = fsspec.filesystem("tagged")
    store.pipe("/depot/a.jpg", b"image")

    def mark(**entry: Any) -> tuple[str | int, ...]:
        Tagged.entry = entry
        return fingerprint(list_images("tagged://depot")[0])

    yield mark
    store.rm_file("/depot/a.jpg")


@pytest.mark.parametrize(
    ("change", "new"),
    [
        ({"StorageClass": "GLACIER"}, False),
        ({"time": 7, "ChecksumAlgorithm": ["CRC32"]}, False),
        ({"ETag": "b"}, True),
        ({"Size": 6}, True),
        ({"LastModified": 8}, True),
    ],
)
def test_an_image_that_moves_to_another_class_of_storage_is_the_same_image(
    depot: Any, change: dict[str, Any], new: bool
) -> None:
    listed = {"ETag": "a", "Size": 5, "LastModified": 7, "StorageClass": "STANDARD", "time": 1}
    assert (depot(**listed) != depot(**listed | change)) is new


def test_googles_metadata_may_change_while_the_generation_stays(depot: Any) -> None:
    assert depot(generation="1", etag="x", mtime=1) == depot(generation="1", etag="y", mtime=2)
    assert depot(generation="1", etag="x", mtime=1) != depot(generation="2", etag="x", mtime=1)
