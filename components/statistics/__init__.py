"""Intervals, differences and tests: how far chance alone may go."""
