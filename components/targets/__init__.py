"""Deployment targets and what a model may cost there: built-in ones and the user's own, as TOML."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
