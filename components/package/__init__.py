"""The deployable bundle: written whole, proved by its own golden set, and run without Foveal.

A bundle is a folder and a reproducible zip of it: the measured model file byte for byte, how to run it, what it
gave for real images, checksums of everything, and a runner that needs numpy, an image reader and onnxruntime.
"""

from components.package.archive import unpack
from components.package.manifest import Manifest, read_manifest
from components.package.verify import Verification, run_bundle, verify_bundle
from components.package.write import write_bundle

__all__ = ["Manifest", "Verification", "read_manifest", "run_bundle", "unpack", "verify_bundle", "write_bundle"]
