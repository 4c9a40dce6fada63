from .decisions import Decided, Decision, Outcome
from .drift import ColumnDrift, DriftDecision, DriftReport, DriftState
from .evidence import RATIO_GATES, AbMode, AbResult, AbVerdict, Gate, GateReport
from .measurements import BenchmarkReport, Check, Latency, Measurement, Verdict
from .models import (
    BATCH,
    Fit,
    Format,
    Interpolation,
    ModelArtifact,
    Output,
    PassRecord,
    Precision,
    TensorSpec,
    Variant,
    VisionSpec,
)
from .plain import dump, load
from .predictions import Classification, Detections, ImageFrame, LabelledImage, Named, Prediction
from .runs import EMBEDDING, FailedImage, InferenceRun
from .targets import Budget, Target
from .versions import Bundle, DatasetVersion, LoadedModel, ModelVersion, TrainedModel
from .views import View

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
    "TensorSpec",
    "TrainedModel",
    "Variant",
    "Verdict",
    "View",
    "VisionSpec",
    "dump",
    "load",
]
