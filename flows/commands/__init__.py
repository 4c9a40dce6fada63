"""The commands of `foveal`, one file for each thing that people do."""
