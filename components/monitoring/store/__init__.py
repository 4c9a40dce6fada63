"""What models saw and said in production, kept by model, version and day."""
