from .archive import unpack
from .manifest import Manifest, read_manifest
from .verify import Verification, run_bundle, verify_bundle
from .write import write_bundle

__all__ = ["Manifest", "Verification", "read_manifest", "run_bundle", "unpack", "verify_bundle", "write_bundle"]
