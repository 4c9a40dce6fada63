"""Fixtures of the benchmark, for what is built on it."""

from tests.unit.benchmark.conftest import make_classifier, pictures  # noqa: F401
