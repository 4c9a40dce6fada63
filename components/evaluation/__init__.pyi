from .ab_verdict import AbPlan, judge, undecided
from .gate_policy import GatePolicy
from .gates import Exam, GateInputs, run_gates

__all__ = [
    "AbPlan",
    "Exam",
    "GateInputs",
    "GatePolicy",
    "judge",
    "run_gates",
    "undecided",
]
