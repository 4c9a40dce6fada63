from .accuracy import AccuracyReport, measure_accuracy
from .alert_book import Alert, AlertBook, AlertStatus
from .alerts import AlertPolicy, Health, check_alerts, read_health
from .anomalies import check_window, find_anomalies, summarise_window
from .estimate import LabelledConfidence, estimate_accuracy
from .history import PastWindow
from .notify import Delivery, send_alerts
from .policy import DriftPolicy, assess
from .reference import build_reference
from .report import write_report
from .store import MonitoringStore
from .trends import TrendPoint
from .watermark import PlannedWindow, Watermark

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
