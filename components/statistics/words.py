"""Numbers in reasons: two that are compared never look alike where they differ."""

from __future__ import annotations

_MAX_DECIMALS = 9


def apart(value: float, limit: float, decimals: int) -> tuple[str, str]:
    """Write two numbers with as many decimals as tell them apart, `decimals` at least."""
    for places in range(decimals, _MAX_DECIMALS + 1):
        one, other = f"{value:.{places}f}", f"{limit:.{places}f}"
        if one != other or value == limit:
            break
    return one, other
