"""Secrets that URLs carry: found, and kept out of everything that is printed, logged or stored."""

from __future__ import annotations

import re

HIDDEN = "…"
# `user:password@` before the host. A password may hold a slash, as keys of S3 do; what follows `host:` is a port.
_USERINFO = re.compile(r"(?<=://)(?:[^\s/'\"@:]*:(?!\d+(?:[/?#\s'\"]|$))[^\s'\"@]*|[^\s/'\"@]*)@")
_QUERY = re.compile(r"([?&][\w-]*(?:token|secret|password|passwd|signature|sig|key)=)[^&#\s'\"]+", re.IGNORECASE)


def has_credentials(url: str) -> bool:
    """Whether a URL names a user or a password before its host, as in ``https://user:password@host``."""
    return _USERINFO.search(url) is not None


def redact(text: str) -> str:
    """The text without what URLs in it carry as secrets: ``s3://key:secret@bucket`` → ``s3://…@bucket``.

    Both what stands before the host and the values of query parameters that are named like secrets are replaced.
    """
    return _QUERY.sub(rf"\g<1>{HIDDEN}", _USERINFO.sub(f"{HIDDEN}@", text))
