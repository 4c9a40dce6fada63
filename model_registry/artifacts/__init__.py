"""Files of a version: bundles, the pyfunc model, and where they are."""
