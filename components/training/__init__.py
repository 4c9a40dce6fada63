"""Training of detectors and classifiers, anew or by fine-tuning, which keeps the best checkpoint.

`compose_dataset` puts together what a retraining learns from and is judged on, without repeats or
leaks.

Training reads images, resizes and normalises them exactly as inference does. Nothing is ever
mirrored: that would change a digit, a text or a traffic sign into something else.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
