"""Data types packages exchange: small frozen dataclasses; models, images and tables stay on disk.

Everything but the two array types, `Detections` and `Classification`, converts to JSON and back
with `dump` and `load`, so a step can run in another process and be cached by its inputs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
