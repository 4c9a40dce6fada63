"""What a pipeline runs: its models, the views of an image that they see, and the settings."""
