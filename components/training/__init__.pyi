from .classifier import ClassifierTraining, train_classifier
from .dataset_version import SplitNames, compose_dataset
from .detector import DetectorTraining, train_detector
from .selection import Selection
from .trained import TrainedModel

__all__ = [
    "ClassifierTraining",
    "DetectorTraining",
    "Selection",
    "SplitNames",
    "TrainedModel",
    "compose_dataset",
    "train_classifier",
    "train_detector",
]
