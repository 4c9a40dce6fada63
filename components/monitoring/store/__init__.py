"""Stored images and predictions of production, by model, version and day."""
