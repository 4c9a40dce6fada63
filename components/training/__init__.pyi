from .dataset_version import OriginalData, SplitNames, compose_dataset
from .fine_tuning import FineTuning, StartingPoint, fine_tune, training_device
from .selection import Selection
from .trainers.classifier import ClassifierTraining, train_classifier
from .trainers.detector import DetectorTraining, train_detector

__all__ = [
    "ClassifierTraining",
    "DetectorTraining",
    "FineTuning",
    "OriginalData",
    "Selection",
    "SplitNames",
    "StartingPoint",
    "compose_dataset",
    "fine_tune",
    "train_classifier",
    "train_detector",
    "training_device",
]
