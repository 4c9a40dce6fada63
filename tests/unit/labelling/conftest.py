"""Fixtures of monitoring, for what is built on it."""

from tests.unit.monitoring.conftest import (  # noqa: F401
    accepted_scenes,
    day_scenes,
    night_scenes,
    ordinary,
    write_run,
)
