"""Trainers, one file each."""
