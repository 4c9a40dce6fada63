"""Finished runs of batch inference on disk: reading them, and taking them apart by day."""
