from .classifier import ClassifierTraining, train_classifier
from .detector import DetectorTraining, train_detector
from .trained import TrainedModel

__all__ = ["ClassifierTraining", "DetectorTraining", "TrainedModel", "train_classifier", "train_detector"]
