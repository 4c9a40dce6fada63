"""Model registry, alone in importing MLflow: log, register, alias, promote, roll back, compare.

    registry = Registry("sqlite:////srv/foveal/mlflow.db", "/srv/foveal/artifacts")
    version = registry.log_release(Release(name="digits", report=report, bundle=bundle))
    registry.promote("digits", version.version, Rationale(reasons=("looks right on the device",)))
    registry.champion_at("digits", datetime(2026, 3, 1, tzinfo=UTC))

Any client of MLflow can use what is registered, without knowing Foveal's own code paths:

    mlflow.set_tracking_uri("sqlite:////srv/foveal/mlflow.db")
    mlflow.pyfunc.load_model("models:/digits@champion").predict(["street.jpg"])

MLflow is imported when a `Registry` is opened, never before.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
