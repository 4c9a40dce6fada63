from .run import LabelledImages, run_benchmark

__all__ = ["LabelledImages", "run_benchmark"]
