"""Checks of this machine, its servers and its storage, with hints to correct them; one file for each kind of check."""
