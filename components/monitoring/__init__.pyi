from .alerts.book import Alert, AlertStatus, AlertStore
from .alerts.notify import Delivery, send_alerts
from .alerts.rules import AlertPolicy, Health, check_alerts, read_health
from .alerts.status import ModelStatus, read_status
from .drift.anomalies import check_window, find_anomalies, summarise_window
from .drift.history import PastWindow
from .drift.policy import DriftPolicy, assess
from .performance.accuracy import AccuracyReport, measure_accuracy
from .performance.estimate import LabelledConfidence, ReferenceLabels, estimate_accuracy
from .report.findings import Findings, explain
from .report.report import write_report
from .store.reference import build_reference, read_labels
from .store.store import MonitoringStore
from .store.stored import TrendPoint
from .store.watermark import PlannedWindow, Watermark

__all__ = [
    "AccuracyReport",
    "Alert",
    "AlertPolicy",
    "AlertStatus",
    "AlertStore",
    "Delivery",
    "DriftPolicy",
    "Findings",
    "Health",
    "LabelledConfidence",
    "ModelStatus",
    "MonitoringStore",
    "PastWindow",
    "PlannedWindow",
    "ReferenceLabels",
    "TrendPoint",
    "Watermark",
    "assess",
    "build_reference",
    "check_alerts",
    "check_window",
    "estimate_accuracy",
    "explain",
    "find_anomalies",
    "measure_accuracy",
    "read_health",
    "read_labels",
    "read_status",
    "send_alerts",
    "summarise_window",
    "write_report",
]
