"""Monitoring: whether fresh images look like those a model was accepted on, and it still performs.

A reference is made once from an accepted inference run; every later run is a window that is
compared with it: the images' own statistics, and what the model predicted. The policy turns
distances into one `DriftDecision`; the report shows it to a person, with Evidently's full report
beside it.

`MonitoringStore` keeps every run's rows by model, version and day; `Watermark` says which images
are new, each once. Once labels arrive, accuracy is measured on what was stored. Accuracy, latency
and errors become alerts when whole intervals lie beyond their limits; each is told once when it
begins and once when it is over. `rank_for_labels` chooses the images that are worth a person's
time, and `LabelStore` keeps what people say of them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
