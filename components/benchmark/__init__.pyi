from .ab_verdict import AbPlan, judge, undecided
from .baseline import check_baseline
from .contest import Contender
from .evaluate import evaluate
from .gate_policy import GatePolicy
from .gates import Exam, run_gates
from .report import choose_again
from .run import LabelledImages, run_benchmark
from .selection import is_busy

__all__ = [
    "AbPlan",
    "Contender",
    "Exam",
    "GatePolicy",
    "LabelledImages",
    "check_baseline",
    "choose_again",
    "evaluate",
    "is_busy",
    "judge",
    "run_benchmark",
    "run_gates",
    "undecided",
]
