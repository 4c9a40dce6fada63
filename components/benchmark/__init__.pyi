from .ab_verdict import AbPlan, judge, undecided
from .baseline import check_baseline
from .contest import Contender
from .evaluate import evaluate
from .gate_policy import GatePolicy
from .gates import Exam, run_gates
from .run import LabelledImages, run_benchmark

__all__ = [
    "AbPlan",
    "Contender",
    "Exam",
    "GatePolicy",
    "LabelledImages",
    "check_baseline",
    "evaluate",
    "judge",
    "run_benchmark",
    "run_gates",
    "undecided",
]
