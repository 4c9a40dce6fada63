"""Findings of the checks of `foveal doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from components.errors import FovealError


class State(StrEnum):
    """Severity of a finding: nothing to do, worth a look, or Foveal does not work like this."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Arguments:
        name: of the check.
        state: how bad it is.
        found: what was found; holds no secrets.
        hint: what to do, for every state but ok.

    Raises:
        ValueError: by the constructor, when what is not ok does not say how to mend it.
    """

    name: str
    state: State
    found: str
    hint: str = ""

    def __post_init__(self) -> None:
        if self.state is not State.OK and not self.hint:
            raise ValueError(f"{self.name} is {self.state} and does not say how to mend it")


def failed(name: str, error: FovealError) -> Finding:
    """The finding that an error of Foveal's own is."""
    return Finding(name, State.FAIL, error.found, error.hint or f"make it {error.expected}")
