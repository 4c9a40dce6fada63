from .book import BookedLabel, LabelBook
from .dataset import LabelledData, LabelStatus, label_status, pseudo_labels, write_labelled
from .importing import KnownImage, LabelImport, import_labels
from .queue import rank_for_labels, rank_run_for_labels

__all__ = [
    "BookedLabel",
    "KnownImage",
    "LabelBook",
    "LabelImport",
    "LabelStatus",
    "LabelledData",
    "import_labels",
    "label_status",
    "pseudo_labels",
    "rank_for_labels",
    "rank_run_for_labels",
    "write_labelled",
]
