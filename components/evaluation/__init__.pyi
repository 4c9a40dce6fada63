from .ab_verdict import AbPlan, evaluate_ab, undecided
from .gate_policy import GatePolicy
from .gates import EvaluationSet, run_gates

__all__ = [
    "AbPlan",
    "EvaluationSet",
    "GatePolicy",
    "evaluate_ab",
    "run_gates",
    "undecided",
]
