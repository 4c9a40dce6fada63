from .ab_verdict import AbPlan, judge, undecided
from .gate_policy import GatePolicy
from .gates import Exam, run_gates
from .interleaved import Contender

__all__ = [
    "AbPlan",
    "Contender",
    "Exam",
    "GatePolicy",
    "judge",
    "run_gates",
    "undecided",
]
