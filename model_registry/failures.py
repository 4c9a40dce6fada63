"""Failures of MLflow and the stores beneath it, as one line with a hint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from components.errors import RegistryError

_STORES = frozenset(
    {
        "azure",
        "boto3",
        "botocore",
        "google",
        "mlflow",
        "requests",
        "s3transfer",
        "sqlalchemy",
        "urllib3",
    }
)
_MAX = 400  # characters of another library's words
_SQL = re.compile(r"\s*(\[SQL:|\(Background on this error).*", re.DOTALL)
_RESUME = "then run the same command again, which repeats nothing that is finished"
_HINTS = (
    (r"database is locked|database table is locked",
     f"another program holds the database: end it, or wait; {_RESUME}"),
    (r"disk is full|no space left|disk quota exceeded|error 28\b",
     f"free some disk space, {_RESUME}"),
    (r"max retries|connection (refused|reset|aborted)|timed? ?out|failed to establish"
     r"|50[234]\b|remotedisconnected",
     f"start MLflow's server, or what it stores in, again, {_RESUME}"),
)  # fmt: skip
_OTHERWISE = "check the tracking URI, the server's log and its free disk space"


@contextmanager
def mlflow_errors(doing: str) -> Iterator[None]:
    """Translate the exceptions of MLflow, of its database and of its artifact stores.

    Arguments:
        doing: what was expected of MLflow, e.g. ``"to log a release"``.

    Raises:
        RegistryError: MLflow refused or failed.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _STORES:
            raise
        words = " ".join(_SQL.sub("", str(error)).split()) or type(error).__name__
        found = words if len(words) <= _MAX else f"{words[:_MAX]}…"
        raise RegistryError(f"MLflow {doing}", found=found, hint=hint_of(str(error))) from error


@contextmanager
def passing_over(code: str) -> Iterator[None]:
    """Ignore that MLflow refuses a call with one code, such as ``"RESOURCE_ALREADY_EXISTS"``."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def hint_of(words: str) -> str:
    """Return what to do about a failure of a store, by its words."""
    return next(
        (hint for pattern, hint in _HINTS if re.search(pattern, words, re.IGNORECASE)), _OTHERWISE
    )
