"""How long does the demo take after installation, from nothing? One run in an empty storage root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch

BAR_S = 240


def measure() -> Figure:
    """Run `foveal demo --json` in a fresh process and a fresh folder."""
    with scratch() as folder:
        started = time.perf_counter()
        done = subprocess.run(  # noqa: S603 - our own command
            [Path(sys.executable).parent / "foveal", "demo", "--json"],
            env=os.environ | {"FOVEAL_HOME": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
    if done.returncode:
        return Figure(
            "demo", f"exit {done.returncode}", f"exit 0 in < {BAR_S} s", False, tuple(done.stderr.splitlines()[-5:])
        )
    said = json.loads(done.stdout)
    day, night = said["release"]["window"]["state"], said["night"]["window"]["state"]
    chosen = next(row["variant"] for row in said["release"]["variants"] if row["chosen"])
    ok = seconds < BAR_S and (day, night) == ("ok", "drift")
    text = f"exit 0 in {seconds:.0f} s, day {day}, night {night}"
    return Figure("demo", text, f"exit 0 in < {BAR_S} s, day ok, night drift", ok, (f"ships {chosen}",))


if __name__ == "__main__":
    conclude(measure)
