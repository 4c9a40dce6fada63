"""Drift: distances of columns, what matters of them, and one decision."""
