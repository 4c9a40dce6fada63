"""Labelled datasets: formats, checks, classes, near-duplicates, and the demo's scenes."""
