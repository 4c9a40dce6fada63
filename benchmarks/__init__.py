"""Every figure Foveal claims, measured again: `make bench-NAME` for one, `make bench` for all."""
