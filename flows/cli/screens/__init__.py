"""What the commands print for people: progress, tables and lines."""
