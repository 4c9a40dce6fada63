"""Listings of web servers, however their pages are made."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator

import psutil
import pytest

from components.errors import DatasetError
from components.images import http
from components.images.sources import list_images
from tests.pages import Pages, serving

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


def page(*links: str) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(
        ["".join(f'<li><a class="x" href="{link}">-</a>\n' for link in links).encode()]
    )


def endless() -> Iterator[bytes]:
    while True:
        yield b'<a href="a.jpg">a</a>' * 3000


def packed() -> Iterator[bytes]:
    yield gzip.compress(b'<a href="a.jpg">a</a>' + bytes(300_000_000), 9)


@pytest.mark.parametrize(("body", "encoding"), [(endless, "identity"), (packed, "gzip")])
def test_a_page_of_links_that_fills_the_memory_is_cut_at_the_limit(
    monkeypatch: pytest.MonkeyPatch, body: Callable[[], Iterator[bytes]], encoding: str
) -> None:
    monkeypatch.setenv("FOVEAL_MAX_FILE_MB", "20")
    before = psutil.Process().memory_info().rss
    with serving({"/shots/": body}, Content_Encoding=encoding) as url:
        with pytest.raises(DatasetError, match=r"at most 20 MB, found http.*name a folder of it"):
            list_images(f"{url}/shots/*.jpg")
    assert psutil.Process().memory_info().rss - before < 200_000_000


def test_a_listing_holds_no_more_links_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_LINKS", 100)
    pages = {"/shots/": page(*(f"{n}/" for n in range(60)))}
    pages |= {f"/shots/{n}": page(*(f"{k}.jpg" for k in range(10))) for n in range(60)}
    with serving(pages) as url, pytest.raises(DatasetError, match="at most 100 links"):
        list_images(f"{url}/shots/**/*.jpg")


def test_the_limit_of_links_is_that_of_one_listing_and_not_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "MAX_LINKS", 20)
    with serving({"/shots/": page(*(f"{k}.jpg" for k in range(15)))}) as url:
        assert [len(list_images(f"{url}/shots/*.jpg")) for _ in range(3)] == [15, 15, 15]


@pytest.mark.timeout(60)
def test_a_page_made_to_stall_a_search_is_read_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [
        b"<a " + b" " * 2_000_000,
        b"<a href" * 300_000,
        b"<a href='" * 300_000,
        b'<a href="b.jpg">',
    ]
    with serving({"/shots/": lambda: iter(parts)}) as url:
        assert [image.image_id for image in list_images(f"{url}/shots/*.jpg")] == ["b.jpg"]


def test_a_page_lists_what_lies_below_it() -> None:
    pages: Pages = {}
    with serving(pages) as url:
        here = [
            f"{url}/shots/day/c.jpg",
            "/shots/day/d.jpg",
            "a.jpg",
            "more/",
            "?order=size",
            "notes.txt",
        ]
        pages["/shots/day/"] = page(
            *here, "../", "/other/x.jpg", "http://elsewhere/y.jpg", "/shots/"
        )
        pages["/shots/day/more"] = page("e.png")
        assert [image.image_id for image in list_images(f"{url}/shots/day/*.jpg")] == [
            "a.jpg",
            "c.jpg",
            "d.jpg",
        ]
        assert [image.image_id for image in list_images(f"{url}/shots/day/**/*.png")] == [
            "more/e.png"
        ]
