from .loader import BUILT_IN, load_target

__all__ = ["BUILT_IN", "load_target"]
