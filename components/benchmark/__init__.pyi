from .baseline import check_baseline
from .evaluate import evaluate
from .report import choose_again
from .run import LabelledImages, run_benchmark
from .selection import is_busy

__all__ = [
    "LabelledImages",
    "check_baseline",
    "choose_again",
    "evaluate",
    "is_busy",
    "run_benchmark",
]
