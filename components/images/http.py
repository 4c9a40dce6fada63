"""Web servers as stores: their pages of links are folders, and no answer is read beyond a limit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fsspec.implementations.http import HTTPFileSystem

from components.errors import DatasetError
from components.limits import Limits, OversizeError

MAX_PAGE_BYTES = 64_000_000
MAX_LINKS = 1_000_000  # of a listing, over all its pages
_CHUNK = 1 << 20  # bytes of a body that are taken at once
_HEAD = 64  # bytes that tell what kind of file it is
_SMALLER = "name a folder of it, or write a manifest"
# Each takes time in proportion to the text, whatever the text is; a search cannot be interrupted.
_ANCHOR = re.compile(r"<a\s([^<>]*)>", re.IGNORECASE)
_HREF = re.compile(r"""\bhref\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
_URL = re.compile(r"https?://[-a-zA-Z0-9@:%_+.~#?&/=]+")


class BoundedHTTPFileSystem(HTTPFileSystem):  # type: ignore[misc]
    """fsspec's file system of web servers, whose pages may be endless; see `MAX_PAGE_BYTES`.

    A listing begins with `invalidate_cache`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._links: dict[str, int] = {}  # of each page of a listing: fsspec asks for some twice

    def invalidate_cache(self, path: str | None = None) -> None:
        super().invalidate_cache(path)
        self._links = {}

    async def download(self, url: str, limit: int, *, page: bool = False) -> bytes:
        """Return the body of an answer; a packed one is unpacked bit by bit, as it may be huge.

        Arguments:
            url: of what is asked for.
            limit: in bytes.
            page: an answer that says it is something else than HTML is not read, and is empty.

        Raises:
            OversizeError: it is larger.
        """
        session = await self.set_session()
        headers = {**self.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
        content = bytearray()
        async with session.get(
            self.encode_url(url), **{**self.kwargs, "headers": headers}
        ) as answer:
            self._raise_not_found_for_status(answer, url)
            if page and not answer.headers.get("Content-Type", "text/html").startswith("text/html"):
                return b""
            async for chunk in answer.content.iter_chunked(_CHUNK):
                content += chunk
                if len(content) > limit:
                    raise OversizeError(bytes(content[:_HEAD]), partial(_told_size, answer.headers))
        return bytes(content)

    async def _ls_real(self, url: str, detail: bool = True, **_: Any) -> list[Any]:
        """List the links of a page that lie below it, as fsspec's does, which reads all of it."""
        found = await self._below(url)
        if not found and url.endswith("/"):
            found = await self._below(url.rstrip("/"))
        if not detail:
            return sorted(found)
        return [
            {"name": u, "size": None, "type": "directory" if u.endswith("/") else "file"}
            for u in found
        ]

    async def _below(self, url: str) -> set[str]:
        limit = min(MAX_PAGE_BYTES, Limits.from_environment().bytes)
        try:
            text = (await self.download(url, limit, page=True)).decode("utf-8", "ignore")
        except OversizeError as error:
            wanted = f"a page of links of at most {limit / 1e6:,.0f} MB"
            raise DatasetError(wanted, found=f"{url}: more", hint=_SMALLER) from error
        found: set[str] = set()
        left = MAX_LINKS - sum(count for page, count in self._links.items() if page != url)
        for link in _links_of(text, simple=self.simple_links):
            found.update(filter(None, [_below(url, link)]))
            if len(found) > left:
                wanted = f"a listing of at most {MAX_LINKS:,} links"
                raise DatasetError(wanted, found=f"{url}: more", hint=_SMALLER)
        self._links[url] = len(found)
        return found


def _links_of(text: str, *, simple: bool) -> Iterator[str]:
    """Yield the targets of a page's links; `simple` takes whatever looks like a URL, too."""
    if simple:
        yield from (match[0] for match in _URL.finditer(text))
    for anchor in _ANCHOR.finditer(text):
        if link := _HREF.search(anchor[1]):
            yield link[1]


def _below(url: str, link: str) -> str:
    """Return the address that a page's link leads to if it is below the page; else nothing."""
    base = url.rstrip("/")
    if link.startswith("/") and len(link) > 1:
        parts = urlsplit(url)
        link = f"{parts.scheme}://{parts.netloc}{link}"
    if link.startswith("http"):
        # from http to https or back is no other place
        within = _plain(link).startswith(f"{_plain(base)}/")
        return link if within else ""
    return "" if link in ("..", "../") else f"{base}/{link.lstrip('/')}"


def _plain(url: str) -> str:
    return url.replace("https", "http", 1)


def _told_size(headers: Mapping[str, str]) -> int | None:
    length = "" if "Content-Encoding" in headers else headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None
