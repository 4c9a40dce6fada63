from .accuracy import AccuracyReport, measure_accuracy
from .alert_book import Alert, AlertBook, AlertStatus
from .alerts import AlertPolicy, Health, check_alerts, read_health
from .anomalies import check_window, find_anomalies, summarise_window
from .estimate import LabelledConfidence, estimate_accuracy
from .findings import Findings, explain
from .health import ReferenceLabels
from .history import PastWindow
from .label_book import BookedLabel, LabelBook
from .label_import import KnownImage, LabelImport, import_labels
from .labelled import LabelledData, LabelStatus, label_status, pseudo_labels, write_labelled
from .notify import Delivery, send_alerts
from .policy import DriftPolicy, assess
from .queue import rank_for_labels, rank_run_for_labels
from .reference import build_reference, read_labels
from .report import write_report
from .status import ModelStatus, read_status
from .store import MonitoringStore
from .trends import TrendPoint
from .watermark import PlannedWindow, Watermark

__all__ = [
    "AccuracyReport",
    "Alert",
    "AlertBook",
    "AlertPolicy",
    "AlertStatus",
    "BookedLabel",
    "Delivery",
    "DriftPolicy",
    "Findings",
    "Health",
    "KnownImage",
    "LabelBook",
    "LabelImport",
    "LabelStatus",
    "LabelledConfidence",
    "LabelledData",
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
    "import_labels",
    "label_status",
    "measure_accuracy",
    "pseudo_labels",
    "rank_for_labels",
    "rank_run_for_labels",
    "read_health",
    "read_labels",
    "read_status",
    "send_alerts",
    "summarise_window",
    "write_labelled",
    "write_report",
]
