"""Optimization passes, one file each."""
