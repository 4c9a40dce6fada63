"""Data types that packages exchange: small frozen dataclasses; models, images and tables stay on disk.

Everything but the two array types, `Detections` and `Classification`, converts to JSON and back
with `dump` and `load`, so a step can run in another process and be cached by its inputs.
"""

from components.contracts.decisions import Decided, Decision, Outcome
from components.contracts.drift import ColumnDrift, DriftDecision, DriftReport, DriftState
from components.contracts.evidence import RATIO_GATES, AbMode, AbResult, AbVerdict, Gate, GateReport
from components.contracts.measurements import BenchmarkReport, Check, Latency, Measurement, Verdict
from components.contracts.models import (
    BATCH,
    Fit,
    Format,
    Head,
    Interpolation,
    ModelArtifact,
    Output,
    PassRecord,
    Precision,
    TaskType,
    TensorSpec,
    Variant,
    VisionSpec,
)
from components.contracts.plain import dump, load
from components.contracts.predictions import Classification, Detections, ImageFrame, LabelledImage, Named, Prediction
from components.contracts.runs import EMBEDDING, FailedImage, InferenceRun
from components.contracts.targets import Budget, Target
from components.contracts.versions import Bundle, DatasetVersion, LoadedModel, ModelVersion, TrainedModel

__all__ = [
    "BATCH",
    "EMBEDDING",
    "RATIO_GATES",
    "AbMode",
    "AbResult",
    "AbVerdict",
    "BenchmarkReport",
    "Budget",
    "Bundle",
    "Check",
    "Classification",
    "ColumnDrift",
    "DatasetVersion",
    "Decided",
    "Decision",
    "Detections",
    "DriftDecision",
    "DriftReport",
    "DriftState",
    "FailedImage",
    "Fit",
    "Format",
    "Gate",
    "GateReport",
    "Head",
    "ImageFrame",
    "InferenceRun",
    "Interpolation",
    "LabelledImage",
    "Latency",
    "LoadedModel",
    "Measurement",
    "ModelArtifact",
    "ModelVersion",
    "Named",
    "Outcome",
    "Output",
    "PassRecord",
    "Precision",
    "Prediction",
    "Target",
    "TaskType",
    "TensorSpec",
    "TrainedModel",
    "Variant",
    "Verdict",
    "VisionSpec",
    "dump",
    "load",
]
