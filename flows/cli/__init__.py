"""The `foveal` command, one file for each group of commands."""
