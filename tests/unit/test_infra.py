"""The image cannot be built where these tests run; what can be checked without an engine is."""

from __future__ import annotations

import re
from pathlib import Path

from components.telemetry import SWITCHES

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "infra" / "Dockerfile").read_text().replace("\\\n", " ")


def test_everything_the_image_copies_is_in_the_repository():
    copied = [line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    assert copied
    assert all((ROOT / source).exists() for sources in copied for source in sources)


def test_the_image_turns_off_the_telemetry_that_the_code_turns_off():
    assert {name: value for name, value in SWITCHES.items() if f"{name}={value}" not in DOCKERFILE} == {}


def test_the_image_does_not_run_as_root():
    assert re.search(r"^USER (?!root)\w+", DOCKERFILE, re.MULTILINE)
