"""Password of a storage root's Prefect servers: for all who may read the root, nobody else."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from flows.runtime.settings import make_private

CLIENT, SERVER = "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
_USER = "foveal"


def password_file(home: Path) -> Path:
    """Return the file that keeps the password of a Prefect home."""
    return home / "api-password"


def password(home: Path) -> str:
    """Read a Prefect home's password as ``user:password``, random and made when first asked for."""
    path = password_file(home)
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:  # of a root that was copied
        path.chmod(0o600)
    return path.read_text().strip()


def proof(basic: str | None, bearer: str | None = None) -> dict[str, str]:
    """Return headers that prove who asks: ``user:password``, else a token; none without either."""
    if basic:
        return {"Authorization": f"Basic {base64.b64encode(basic.encode()).decode()}"}
    return {"Authorization": f"Bearer {bearer}"} if bearer else {}


def _make(path: Path) -> None:
    """Write a new one; of several processes that do so at once, the first one's stays."""
    make_private(path.parent.parent)
    make_private(path.parent)
    # mode 0600 from the first moment
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=".api-password-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{_USER}:{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        os.unlink(aside)
