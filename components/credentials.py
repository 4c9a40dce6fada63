"""Secrets that URLs carry: found, and kept out of everything that is printed, logged or stored."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "…"
# A quote may be part of a password; one that is followed by what follows a quoted URL in a text
# ends it. Of white space only that of ASCII ends an address: a no-break space may be part of a
# password as well.
_IN = r"(?:[^ \t-\r'\"]|['\"](?![\s,;:)\]}>]|$))"
_REST = re.compile(rf"(?<=://){_IN}+")
# `us er:pass word@`, where neither an end of a sentence nor a port follows the colon.
_SPACED = re.compile(
    r"(?<=://)[^/@\n]{0,200}?:(?!\s|\d+[\s,;.)'\"])[^/@\n]{0,200}@(?:[^/?#@\s]*@)*"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*$")
_PORT = re.compile("[0-9]*")
_WITH_PORTS = re.compile("https?|wss?|ftps?|sftp|ssh", re.IGNORECASE)
# `user:12/34@host` may also be a host with a port, and a path: then its name has a dot, or a file
# is what follows.
_AFTER_PORT = re.compile(
    r"/[^/@]+@(?![^/?#]*\.(?:jpe?g|png|tiff?|webp|bmp|gif|avif|txt|json|xml|csv|zip)(?:[?#]|$))[\w-]",
    re.IGNORECASE,
)
_NAMES = (
    r"token|secret|password|passwd|pwd|pw|pass|signature|sig|sas|key|key[-_]?id|credential|credentials|auth"
    r"|authorization|bearer|jwt|session|sessionid|policy"
)
_NAMED = re.compile(
    rf"code|(?:[\w.-]*[-_.])?(?:\w*(?:token|secret|password|passphrase|key(?:id)?)|{_NAMES})",
    re.IGNORECASE,
)
_PARAMETER = re.compile(rf"([?&;#])([^=&;#?/ \t-\r'\"]+)=((?:(?![&;#]){_IN})+)")
_SHAPES = re.compile(
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON web token
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # a key of AWS
    # tokens of well-known services
    r"|\b(?:ghp|gho|ghs|ghu|github_pat|glpat|hf|xox[abprs]|sk)[-_][\w-]{16,}"
    r"|\bAIza[\w-]{35}\b"
)


def has_credentials(url: str) -> bool:
    """Tell whether a URL has a user or a password before its host, as in ``https://user:password@host``."""
    return _without_userinfo(url) != url


def redact(text: str) -> str:
    """The text without what URLs in it carry as secrets: ``s3://key:secret@bucket`` → ``s3://…@bucket``.

    What stands before the host, the values of parameters that are named like secrets, in the query
    and after a ``#``, and whatever has the shape of a well-known kind of key are replaced.
    """
    return _SHAPES.sub(HIDDEN, _PARAMETER.sub(_parameter, _without_userinfo(text)))


def _without_userinfo(text: str) -> str:
    return _REST.sub(_without_user, _SPACED.sub(f"{HIDDEN}@", text))


def _without_user(found: re.Match[str]) -> str:
    """Hide whatever stands before the host in what follows ``://``."""
    before = _SCHEME.search(found.string, max(found.start() - 23, 0), found.start() - 3)
    host = _host(before[0] if before else "", found[0])
    return f"{HIDDEN}@{found[0][host:]}" if host else found[0]


def _host(scheme: str, rest: str) -> int:
    """Find where the host begins in what follows ``://``, after the last @ before it.

    It is 0 where no user is named.
    """
    first = rest.find("@")
    authority, slash, _ = rest[: max(first, 0)].partition("/")
    if slash:  # a password may hold a slash, as keys of S3 do
        name, colon, port = authority.partition(":")
        if not colon or name.startswith("["):
            return 0
        is_port = _PORT.fullmatch(port) and _WITH_PORTS.fullmatch(scheme)
        if is_port and (
            "." in name or name == "localhost" or not _AFTER_PORT.match(rest, len(authority))
        ):
            return 0
    ends = re.compile("[/?#]").search(rest, first + 1)
    return rest.rfind("@", 0, ends.start() if ends else len(rest)) + 1


def _parameter(found: re.Match[str]) -> str:
    mark, name, _ = found.groups()
    secret = any(_NAMED.fullmatch(part) for part in re.split(r"[\[\]]+", unquote(name)))
    return f"{mark}{name}={HIDDEN}" if secret else found[0]


def has_secrets(text: str) -> bool:
    """Tell whether a text holds something that `redact` would hide."""
    return redact(text) != text
