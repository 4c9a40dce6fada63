from .classifier import ClassifierTraining, train_classifier
from .detector import DetectorTraining, train_detector
from .fine_tuning import FineTuning, fine_tune
from .trained import TrainedModel

__all__ = [
    "ClassifierTraining",
    "DetectorTraining",
    "FineTuning",
    "TrainedModel",
    "fine_tune",
    "train_classifier",
    "train_detector",
]
