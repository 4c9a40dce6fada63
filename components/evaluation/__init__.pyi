from .ab_verdict import AbPlan, evaluate_ab, undecided
from .gate_policy import GatePolicy
from .gates import EvaluationSet, GateInputs, run_gates

__all__ = [
    "AbPlan",
    "EvaluationSet",
    "GateInputs",
    "GatePolicy",
    "evaluate_ab",
    "run_gates",
    "undecided",
]
