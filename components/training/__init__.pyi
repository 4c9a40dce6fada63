from .classifier import ClassifierTraining, train_classifier
from .dataset_version import SplitNames, compose_dataset
from .detector import DetectorTraining, train_detector
from .device import training_device
from .fine_tuning import FineTuning, fine_tune
from .selection import Selection
from .trained import TrainedModel

__all__ = [
    "ClassifierTraining",
    "DetectorTraining",
    "FineTuning",
    "Selection",
    "SplitNames",
    "TrainedModel",
    "compose_dataset",
    "fine_tune",
    "train_classifier",
    "train_detector",
    "training_device",
]
