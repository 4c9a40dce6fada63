"""The public face of Foveal: the names that programs need, each imported when it is first used.

    import foveal

    with foveal.prefect_api():
        foveal.release(foveal.read_config("parts.yaml", foveal.ReleaseConfig))

Flows import Prefect, which reads its settings while it is imported: use `release` and `nightly`
inside `prefect_api`.
"""

from importlib import import_module

_NAMES = {
    "DataInput": "flows.config.release:DataInput",
    "DriftPolicy": "components.monitoring.drift.policy:DriftPolicy",
    "FovealError": "components.errors:FovealError",
    "Hooks": "components.inference.ensemble.settings:Hooks",
    "InferencePipeline": "flows.tasks.predict:InferencePipeline",
    "ModelInput": "flows.config.release:ModelInput",
    "NightlyConfig": "flows.config.monitor:NightlyConfig",
    "PipelineSettings": "components.inference.ensemble.settings:PipelineSettings",
    "Registry": "model_registry.registry:Registry",
    "ReleaseConfig": "flows.config.release:ReleaseConfig",
    "Settings": "flows.runtime.settings:Settings",
    "nightly": "flows.nightly:nightly",
    "predict": "flows.tasks.predict:predict_images",
    "prefect_api": "flows.runtime.server:prefect_api",
    "read_config": "flows.config.base:read_config",
    "read_image": "components.images.reading:read_image",
    "release": "flows.release:release",
    "verify_bundle": "components.package.verify:verify_bundle",
}

__all__ = ["__version__", *_NAMES]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("foveal")
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module("components.telemetry").switch_off()  # before anything heavy is imported
    module, _, attribute = _NAMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
