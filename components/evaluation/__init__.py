"""Evidence about two models: interleaved measurement, gates and A/B verdicts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
