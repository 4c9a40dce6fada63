from .ab_verdict import AbPlan, judge, undecided
from .run import LabelledImages, run_benchmark

__all__ = ["AbPlan", "LabelledImages", "judge", "run_benchmark", "undecided"]
