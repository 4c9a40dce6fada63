"""The production pipeline: a model, or several, over one image, many, or a folder of millions.

- `InferencePipeline`: pre-process → models → combine, sync and async, with running metrics.
- `ShadowPipeline`, `SplitPipeline`: two versions in the place of one; `Experiment`: a test that
  goes on for days.
- `run_batch`: a table row for every image, in bounded memory; a killed run goes on where it was.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
