"""Each decision record's newest entry as seen from here, out of reach of the store's writers."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

from components.credentials import redact
from components.files import sha256_json, write_json
from components.regular import read_regular_text
from model_registry.store import Store, sqlite_file

_LINK = re.compile("([0-9]+) .*")


def read(folder: Path | None, store: Store, model: str) -> str:
    """The `link` of the newest entry that was seen; empty for none.

    Arguments:
        folder: where it is kept; None for nowhere.
        store: of the record.
        model: whose record it is.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        # nothing was seen yet, or the file is damaged
        if folder is not None:
            return str(json.loads(read_regular_text(_file(folder, store, model)))["newest"])
    return ""


def write(folder: Path | None, store: Store, model: str, link: str, *, anew: bool = False) -> None:
    """Keep an entry as the newest seen, unless a newer one is kept; nothing if the root is missing.

    Arguments:
        folder: where it is kept; None for nowhere.
        store: of the record.
        model: whose record it is.
        link: of the entry.
        anew: keep it even if it has a lower number, since a person goes on from it.
    """
    kept = read(folder, store, model)
    newer = bool(kept) and _number(kept) >= _number(link)
    if folder is None or kept == link or (newer and not anew) or not folder.parent.is_dir():
        return
    with suppress(OSError):  # whoever only looks may not be able to write here
        folder.mkdir(mode=0o700, exist_ok=True)
        write_json(_file(folder, store, model), {"model": model, "newest": link})


def _number(link: str) -> int:
    found = _LINK.fullmatch(link)
    return int(found[1]) if found else 0


def _file(folder: Path, store: Store, model: str) -> Path:
    """Name one file for a model of a store; an embedded store's stays right if the root moves."""
    database = sqlite_file(store)
    root = folder.parent.resolve()
    inside = database is not None and root in database.resolve().parents
    place = "" if inside else redact(store.tracking_uri)
    return folder / f"{sha256_json([place, model])[:32]}.json"
