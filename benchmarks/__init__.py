"""Every figure that Foveal claims, measured again: `make bench-NAME` for one, `make bench` for all."""
