"""Says whether fresh images still look like those a model was accepted on, and whether it still does its work.

A reference is made once from an accepted inference run; every later run is a window that is compared
with it: the images' own statistics, and what the model predicted. The policy turns distances into one
`DriftDecision`; the report shows it to a person, with Evidently's full report beside it.

`MonitoringStore` keeps every run's rows by model, version and day; `Watermark` says which images are new, each once.
Once labels arrive, accuracy is measured on what was stored. Accuracy, latency and errors become alerts when whole
intervals lie beyond their limits; each is told once when it begins and once when it is over.
"""

from components.monitoring.accuracy import AccuracyReport, measure_accuracy
from components.monitoring.alert_book import Alert, AlertBook, AlertStatus
from components.monitoring.alerts import AlertPolicy, Health, check_alerts, read_health
from components.monitoring.anomalies import check_window, find_anomalies, summarise_window
from components.monitoring.estimate import LabelledConfidence, estimate_accuracy
from components.monitoring.history import PastWindow
from components.monitoring.notify import Delivery, send_alerts
from components.monitoring.policy import DriftPolicy, assess
from components.monitoring.reference import build_reference
from components.monitoring.report import write_report
from components.monitoring.store import MonitoringStore
from components.monitoring.trends import TrendPoint
from components.monitoring.watermark import PlannedWindow, Watermark

__all__ = [
    "AccuracyReport",
    "Alert",
    "AlertBook",
    "AlertPolicy",
    "AlertStatus",
    "Delivery",
    "DriftPolicy",
    "Health",
    "LabelledConfidence",
    "MonitoringStore",
    "PastWindow",
    "PlannedWindow",
    "TrendPoint",
    "Watermark",
    "assess",
    "build_reference",
    "check_alerts",
    "check_window",
    "estimate_accuracy",
    "find_anomalies",
    "measure_accuracy",
    "read_health",
    "send_alerts",
    "summarise_window",
    "write_report",
]
