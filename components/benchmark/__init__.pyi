from .contest import Contender
from .gate_policy import GatePolicy
from .gates import Exam, run_gates
from .run import LabelledImages, run_benchmark

__all__ = ["Contender", "Exam", "GatePolicy", "LabelledImages", "run_benchmark", "run_gates"]
