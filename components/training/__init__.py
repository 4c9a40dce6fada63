"""Trains a detector or a classifier from scratch, or fine-tunes one, and keeps the best checkpoint.

Training reads images, resizes and normalises them exactly as inference does. Nothing is ever mirrored: that
would change a digit, a text or a traffic sign into something else.
"""

from components.training.classifier import ClassifierTraining, train_classifier
from components.training.detector import DetectorTraining, train_detector
from components.training.trained import TrainedModel

__all__ = ["ClassifierTraining", "DetectorTraining", "TrainedModel", "train_classifier", "train_detector"]
