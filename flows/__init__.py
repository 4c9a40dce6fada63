"""Prefect flows, tasks, parameters and the `foveal` command: the only package to import Prefect.

Importing it turns the telemetry of all dependencies off (docs/decisions/0003): Prefect reads those
switches while it is imported, so no later moment would do.
"""

from components import telemetry

telemetry.switch_off()
