from .ab_verdict import AbPlan, judge, undecided
from .gate_policy import GatePolicy
from .gates import Exam, run_gates

__all__ = [
    "AbPlan",
    "Exam",
    "GatePolicy",
    "judge",
    "run_gates",
    "undecided",
]
