"""`foveal up`: start, watch and stop servers."""
