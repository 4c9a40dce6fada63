"""Real promoters, really killed: a dozen of the hundred that `make bench-promotion` kills."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

KILLS = """
from benchmarks.promotion import measure

figure = measure(kills=12)
print(*figure.details, figure.text, sep="\\n")
"""


def test_promoters_killed_at_random_moments_leave_one_champion_and_a_true_history():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLS], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()[-1]
    assert re.fullmatch(
        r"1[23] kills, 0 faults in \d+ decisions, 0 moments without a champion", said
    ), done.stdout
