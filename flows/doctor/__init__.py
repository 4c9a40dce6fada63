"""Checks of this machine, its servers and storage, with hints on mending; one file for a kind."""
