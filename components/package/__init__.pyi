from .archive import unpack
from .manifest import Manifest, is_bundle, read_manifest
from .verify import Verification, require_whole, run_bundle, verify_bundle
from .write import write_bundle

__all__ = [
    "Manifest",
    "Verification",
    "is_bundle",
    "read_manifest",
    "require_whole",
    "run_bundle",
    "unpack",
    "verify_bundle",
    "write_bundle",
]
