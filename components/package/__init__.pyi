from .archive import unpack
from .manifest import Manifest, read_manifest
from .verify import Verification, require_whole, run_bundle, verify_bundle
from .write import write_bundle

__all__ = [
    "Manifest",
    "Verification",
    "read_manifest",
    "require_whole",
    "run_bundle",
    "unpack",
    "verify_bundle",
    "write_bundle",
]
