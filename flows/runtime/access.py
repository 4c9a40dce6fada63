"""Refuse requests that somebody else's web page sends to a server of ours, whichever it is.

A page that the user has open elsewhere can send requests to loopback, and a DNS name of its own
that it points there makes it the same origin. So a server answers only to its own names (`Host`),
and to browsers only on its own pages (`Origin`, `Sec-Fetch-Site`). Programs send neither of the
latter and are let through.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil

from components.printing import printed

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared with, not bound to
_READING = ("GET", "HEAD")
_HEADERS = (  # a page of ours is in nobody else's frame, and asks nobody else
    ("x-frame-options", "SAMEORIGIN"),
    ("x-content-type-options", "nosniff"),
    (
        "content-security-policy",
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'",
    ),
)
_log = logging.getLogger(__name__)

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Access:
    """The names that a server answers to.

    Arguments:
        hosts: ``NAME:PORT`` as browsers send it in `Host`; ``*`` stands for anything, e.g.
            ``localhost:*``.
    """

    hosts: tuple[str, ...]

    @classmethod
    def of(cls, host: str, port: int) -> Access:
        """List a server's names: loopback's, its own interface's, and `FOVEAL_ALLOWED_HOSTS`."""
        own = [_netloc(name, port) for name in dict.fromkeys((*LOOPBACK, *_names(host)))]
        named = [
            name.strip().lower()
            for name in os.environ.get("FOVEAL_ALLOWED_HOSTS", "").split(",")
            if name.strip()
        ]
        return cls((*own, *named))

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins of its pages, as far as they can be listed."""
        return tuple(
            f"{scheme}://{host}"
            for host in self.hosts
            if "*" not in host
            for scheme in ("http", "https")
        )

    def refusal(self, method: str, headers: Headers) -> str:
        """Reason to refuse a request, as a terminal may have it, or an empty text.

        Arguments:
            method: of the request; that of a websocket's handshake is GET.
            headers: names in lower case, and values; a name may come more than once.
        """
        hosts = [value.lower() for name, value in headers if name == "host"]
        if len(hosts) != 1 or not any(_matches(hosts[0], known) for known in self.hosts):
            name = printed(", ".join(hosts)) or "none"
            return f"this server does not answer to the name {name}; see FOVEAL_ALLOWED_HOSTS"
        for name, value in headers:
            if name == "origin" and not self._is_own(value.lower(), hosts[0]):
                return f"a page of {printed(value)} may not use this server"
        return (
            ""
            if _is_own_or_opened(method, headers)
            else "a page of another site may not use this server"
        )

    def _is_own(self, origin: str, host: str) -> bool:
        """Tell whether an origin is the request's own, or listed, as behind a renaming proxy."""
        try:
            parts = urlsplit(origin)
        except ValueError:  # brackets that hold no address
            return False
        return parts.scheme in ("http", "https") and (
            parts.netloc == host or origin in self.origins
        )


def guard_asgi(app: ASGIApp, access: Access) -> ASGIApp:
    """Wrap an ASGI app, websockets included, so that it sees only requests that `access` allows."""
    from starlette.responses import PlainTextResponse

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in scope["headers"]
        ]
        if not (reason := access.refusal(scope.get("method", "GET"), headers)):
            await app(scope, receive, _protecting(send))
            return
        _log.warning("refused %s: %s", printed(scope["path"]), reason)
        if scope["type"] == "websocket":  # closed before it is accepted: the server answers 403
            await send({"type": "websocket.close", "code": 1008})
            return
        refused = PlainTextResponse(
            f"refused: {reason}\n", 403, {"x-content-type-options": "nosniff"}
        )
        await refused(scope, receive, send)

    return guarded


def guard_wsgi(app: WSGIApplication, access: Access) -> WSGIApplication:
    """Wrap a WSGI app likewise."""

    def guarded(request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        headers = [
            (key.removeprefix("HTTP_").replace("_", "-").lower(), str(value))
            for key, value in request.items()
            if key.startswith("HTTP_")
        ]
        if not (reason := access.refusal(request["REQUEST_METHOD"], headers)):
            return app(request, start)
        _log.warning("refused %s: %s", printed(request.get("PATH_INFO", "")), reason)
        start(
            "403 Forbidden",
            [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")],
        )
        return [f"refused: {reason}\n".encode()]

    return guarded


def _protecting(send: Send) -> Send:
    """Add the headers that a page of ours needs, where the app has not set its own."""

    async def protected(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            added = [
                (name.encode(), value.encode())
                for name, value in _HEADERS
                if name.encode() not in there
            ]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return protected


def _is_own_or_opened(method: str, headers: Headers) -> bool:
    """Tell whether a browser sends this for our own page, or since somebody opens a link to us."""
    sent = {name: value for name, value in headers if name.startswith("sec-fetch-")}
    if sent.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return True
    opened = sent.get("sec-fetch-mode") == "navigate" and sent.get("sec-fetch-dest") == "document"
    return opened and method in _READING


def _matches(host: str, known: str) -> bool:
    return host == known or ("*" in known and fnmatchcase(host, known))


def _names(host: str) -> list[str]:
    """Return the names that others know a server by, on one interface or all, without look-ups."""
    if host in LOOPBACK:
        return []
    if host != EVERYWHERE:
        return [host.lower(), socket.gethostname().lower()]
    every = [one for several in psutil.net_if_addrs().values() for one in several]
    return [
        socket.gethostname().lower(),
        *(one.address for one in every if one.family == socket.AF_INET),
    ]


def _netloc(name: str, port: int) -> str:
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
