"""Secrets that URLs carry: found, and kept out of everything that is printed, logged or stored."""

from __future__ import annotations

import re

HIDDEN = "…"
# A quote may be part of a password; one that is followed by what follows a quoted URL in a text ends it.
_IN = r"(?:[^\s'\"@]|'(?![\s,;:)\]}]|$))"
_IN_USER = r"(?:[^\s/'\"@:]|'(?![\s,;:)\]}]|$))"
# `user:password@` before the host. A password may hold a slash, as keys of S3 do; what follows `host:` is a port.
_USERINFO = re.compile(rf"(?<=://)(?:{_IN_USER}*:(?!\d+(?:[/?#\s'\"]|$)){_IN}*|{_IN_USER}*)@")
_NAMES = (
    r"token|secret|password|passwd|pwd|pass|signature|sig|key|key[-_]?id|credential|credentials|auth|authorization"
    r"|jwt|session|sessionid|policy"
)
_VALUE = r"(?:[^&;#\s'\"]|'(?![\s,;:)\]}]|$))+"
_NAMED = rf"(?:[\w.-]*[-_.])?(?:\w*(?:token|secret|password|key(?:id)?)|{_NAMES})="
_QUERY = re.compile(rf"([?&;]{_NAMED}){_VALUE}", re.IGNORECASE)
_SHAPES = re.compile(
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON web token
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # a key of AWS
    r"|\b(?:ghp|gho|ghs|ghu|github_pat|glpat|hf|xox[abprs]|sk)[-_][\w-]{16,}"  # tokens of well-known services
    r"|\bAIza[\w-]{35}\b"
)


def has_credentials(url: str) -> bool:
    """Whether a URL names a user or a password before its host, as in ``https://user:password@host``."""
    return _USERINFO.search(url) is not None


def redact(text: str) -> str:
    """The text without what URLs in it carry as secrets: ``s3://key:secret@bucket`` → ``s3://…@bucket``.

    What stands before the host, the values of query parameters that are named like secrets, and whatever has the shape
    of a well-known kind of key are replaced.
    """
    return _SHAPES.sub(HIDDEN, _QUERY.sub(rf"\g<1>{HIDDEN}", _USERINFO.sub(f"{HIDDEN}@", text)))


def has_secrets(text: str) -> bool:
    """Whether there is something that `redact` would hide."""
    return redact(text) != text
