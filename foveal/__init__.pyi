from components.errors import FovealError
from components.images.reading import read_image
from components.inference.ensemble.settings import Hooks, PipelineSettings
from components.monitoring.drift.policy import DriftPolicy
from components.package.verify import verify_bundle
from flows.config.base import read_config
from flows.config.monitor import NightlyConfig
from flows.config.release import DataInput, ModelInput, ReleaseConfig
from flows.nightly import nightly
from flows.release import release
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings
from flows.tasks.predict import InferencePipeline
from flows.tasks.predict import predict_images as predict
from model_registry.registry import Registry

__all__ = [
    "DataInput",
    "DriftPolicy",
    "FovealError",
    "Hooks",
    "InferencePipeline",
    "ModelInput",
    "NightlyConfig",
    "PipelineSettings",
    "Registry",
    "ReleaseConfig",
    "Settings",
    "__version__",
    "nightly",
    "predict",
    "prefect_api",
    "read_config",
    "read_image",
    "release",
    "verify_bundle",
]

__version__: str
