"""Where a model is to run and what it may cost there: built-in targets and the user's own, as TOML."""

from components.targets.loader import BUILT_IN, load_target

__all__ = ["BUILT_IN", "load_target"]
