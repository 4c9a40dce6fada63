"""The model registry: the only room that knows MLflow. Log, register, alias, promote, roll back, compare.

    registry = Registry("sqlite:////srv/foveal/mlflow.db", "/srv/foveal/artifacts")
    version = registry.log_release(Release(name="digits", report=report, bundle=bundle))
    registry.promote("digits", version.version)

Any client of MLflow can use what is registered, without knowing Foveal's own code paths:

    mlflow.set_tracking_uri("sqlite:////srv/foveal/mlflow.db")
    mlflow.pyfunc.load_model("models:/digits@champion").predict(["street.jpg"])

MLflow is imported when a `Registry` is opened, never before.
"""

from model_registry.registry import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION, MetricPair, Registry
from model_registry.release import Release, check_name
from model_registry.store import sqlite_uri

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS_CHAMPION",
    "MetricPair",
    "Registry",
    "Release",
    "check_name",
    "sqlite_uri",
]
