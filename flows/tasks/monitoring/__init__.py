"""Tasks of monitoring: a window from its plan to its commit, its accuracy and its alerts."""
