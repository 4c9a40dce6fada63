"""Screen output of the commands: progress, tables and lines."""
