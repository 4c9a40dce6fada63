"""The chain of a decision record: each entry holds a hash of the one before it, so that a deleted one is missed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from components.files import sha256_json

PREVIOUS, KNOWN_GAPS, ANCHOR = "previous", "known_gaps", "foveal.record"
_LINK = re.compile(r"(\d+) ([0-9a-f]{64})")


def link(row: Any) -> str:
    """What names an entry: its number, and a hash of what it says and of the entry before it.

    Arguments:
        row: the entry, as MLflow gives it; one that somebody else made has tags of its own.
    """
    said = [int(row.version), *(row.tags.get(key, "") for key in ("entry", "decision", PREVIOUS))]
    return f"{int(row.version)} {sha256_json(said)}"


def breaks(rows: Sequence[Any], anchor: str) -> tuple[str, ...]:
    """What is wrong with a record, one line each; none where nothing was deleted or changed.

    A person's decision that was made while something was missing says so, and it is not told again.

    Arguments:
        rows: the entries, oldest first.
        anchor: the `link` of an entry that was the newest once, as the model keeps it; empty for none.
    """
    links = {int(row.version): link(row) for row in rows}
    named = [row.tags.get(PREVIOUS, "") for row in rows]
    expected = {int(found[1]): found[0] for text in (*named, anchor) if (found := _LINK.fullmatch(text))}
    newest = max([*links, *expected], default=0)
    known = {int(number) for row in rows for number in row.tags.get(KNOWN_GAPS, "").split()}
    missing = [number for number in range(1, newest + 1) if number not in links and number not in known]
    changed = [number for number, was in expected.items() if number in links and links[number] != was]
    return (
        *(f"decision {number} was deleted" for number in missing),
        *(f"decision {number} was changed" for number in sorted(set(changed) - known)),
    )


def numbers(broken: Iterable[str]) -> str:
    """The numbers of the entries that `breaks` names, as an entry's tag keeps them."""
    return " ".join(sorted({line.split()[1] for line in broken}, key=int))
