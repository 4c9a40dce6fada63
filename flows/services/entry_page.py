"""A small page of ours before a server's own: it sets what that reads in the browser, goes there.

Prefect's pages read the password from the browser's storage, and MLflow's the view that they open.
A link cannot carry either, so it leads to this page, at `PATH` of the same origin. A secret follows
a ``#``, which browsers keep to themselves.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


PATH = "/foveal"


@dataclass(frozen=True)
class Entry:
    """Texts that the page keeps in the browser, and the page that it goes on to.

    Arguments:
        then: the page to go on to.
        values: texts that the browser keeps for the server's pages, by their keys.
        after_hash: the key of what follows the ``#``, which is kept in base64, as HTTP Basic has
            it; empty for none.
    """

    then: str
    values: Mapping[str, str] = field(default_factory=dict)
    after_hash: str = ""


def with_entry(app: ASGIApp, entry: Entry) -> ASGIApp:
    """Answer the entry's path, and hand the rest to an ASGI app."""
    from starlette.responses import HTMLResponse

    body, policy = _page(entry)
    headers = {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
    }
    page = HTMLResponse(body, headers=headers)

    async def entered(scope: Scope, receive: Receive, send: Send) -> None:
        entering = scope["type"] == "http" and scope["path"].rstrip("/") == PATH
        await (page if entering else app)(scope, receive, send)

    return entered


def _page(entry: Entry) -> tuple[str, str]:
    """The HTML, and the policy that lets its script alone run."""
    script = (
        f"const kept = {json.dumps(dict(entry.values))}, key = {json.dumps(entry.after_hash)};"
        "const given = decodeURIComponent(location.hash.slice(1));"
        "if (key && given) kept[key] = btoa(given);"
        "for (const name in kept) localStorage.setItem(name, kept[name]);"
        "history.replaceState(null, '', location.pathname);"  # the secret stays in no history
        f"location.replace({json.dumps(entry.then)});"
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    body = (
        '<!doctype html><meta charset="utf-8"><title>Foveal</title>'
        f"<noscript>These pages need JavaScript.</noscript><script>{script}</script>\n"
    )
    return body, f"default-src 'none'; script-src 'sha256-{digest}'; frame-ancestors 'none'"
