"""Chain of a decision record: each entry holds a hash of the one before, so deletions show."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from components.files import sha256_json

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as Row

PREVIOUS, KNOWN_GAPS, ANCHOR = "previous", "known_gaps", "foveal.record"
_LINK = re.compile(r"([0-9]{1,6}) ([0-9a-f]{64})")
_GAP = re.compile("[0-9]{1,6}")


def link(row: Row) -> str:
    """Return an entry's name: its number, and a hash of what it and the entry before it say.

    Arguments:
        row: the entry, as MLflow gives it; one that somebody else made has tags of its own.
    """
    said = [int(row.version), *(row.tags.get(key, "") for key in ("entry", "decision", PREVIOUS))]
    if KNOWN_GAPS in row.tags:
        said.append(row.tags[KNOWN_GAPS])
    return f"{int(row.version)} {sha256_json(said)}"


def breaks(rows: Sequence[Row], *pins: str, unreadable: Collection[int] = ()) -> tuple[str, ...]:
    """Find the faults of a record, one line each; none where nothing was deleted or changed.

    A person's decision that was made while something was missing says so, and it is not told again.
    It speaks for entries before it only, and not at all where it was changed itself.

    Arguments:
        rows: the entries, oldest first.
        pins: the `link` of entries that were the newest once, as somebody kept them; empty for
            none.
        unreadable: numbers of entries whose decision nobody can read any more.
    """
    links = {int(row.version): link(row) for row in rows}
    named = (*(row.tags.get(PREVIOUS, "") for row in rows), *pins)
    expected = {(int(found[1]), found[0]) for text in named if (found := _LINK.fullmatch(text))}
    gaps = {int(row.version): row.tags.get(KNOWN_GAPS, "").split() for row in rows}
    malformed = {number for number, said in gaps.items() if not all(map(_GAP.fullmatch, said))}
    changed = (
        malformed
        | {*unreadable}
        | {number for number, was in expected if links.get(number, was) != was}
    )
    known = {
        int(gap) for number in gaps.keys() - changed for gap in gaps[number] if int(gap) < number
    }
    newest = max([*links, *(number for number, _ in expected)], default=0)
    missing = [
        number for number in range(1, newest + 1) if number not in links and number not in known
    ]
    return (
        *(f"decision {number} was deleted" for number in missing),
        *(f"decision {number} was changed" for number in sorted(changed - known)),
    )


def numbers(broken: Iterable[str]) -> str:
    """The numbers of the entries that `breaks` names, as an entry's tag keeps them."""
    return " ".join(sorted({line.split()[1] for line in broken}, key=int))
