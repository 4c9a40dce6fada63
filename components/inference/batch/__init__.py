"""Batch inference over any number of images, in shards that a killed run picks up."""
