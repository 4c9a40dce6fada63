"""The deployable bundle: written whole, proved by its own golden set, and run without Foveal.

A bundle is a folder and a reproducible zip of it: the measured model file byte for byte, how to run
it, what it gave for real images, checksums of everything, and a runner that needs numpy, an image
reader and onnxruntime.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
