from .book import LabelRecord, LabelStore
from .dataset import LabelledData, LabelStatus, label_status, pseudo_labels, write_labelled
from .importing import KnownImage, LabelImport, import_labels
from .queue import rank_for_labels, rank_run_for_labels

__all__ = [
    "KnownImage",
    "LabelImport",
    "LabelRecord",
    "LabelStatus",
    "LabelStore",
    "LabelledData",
    "import_labels",
    "label_status",
    "pseudo_labels",
    "rank_for_labels",
    "rank_run_for_labels",
    "write_labelled",
]
