"""Measured latency, throughput, memory and accuracy of every variant, with verdicts.

Each verdict says how sure it is.

Each variant lives in a fresh process of its own. Rounds are interleaved, ratios are paired by
round, an A/A pair of the baseline gives the noise floor, and a variant that is not really faster is
rejected.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
