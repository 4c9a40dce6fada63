"""Says whether fresh images still look like those a model was accepted on, and why.

A reference is made once from an accepted inference run; every later run is a window that is compared
with it: the images' own statistics, and what the model predicted. The policy turns distances into one
`DriftDecision`; the report shows it to a person, with Evidently's full report beside it.
"""

from components.monitoring.policy import DriftPolicy, assess
from components.monitoring.reference import build_reference
from components.monitoring.report import write_report

__all__ = ["DriftPolicy", "assess", "build_reference", "write_report"]
