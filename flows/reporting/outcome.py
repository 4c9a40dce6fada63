"""Outcome of a run where people look first: its name and final state; one log line, no traceback.

A final state is named by the outcome ("drift", "rejected"), so Prefect's event of a night with a
drift is `prefect.flow-run.drift` and not `prefect.flow-run.Completed`.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Protocol, TypeVar, cast, overload

from prefect import Flow, flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from components.errors import FovealError, NoChampionError, NotRegisteredError
from components.settings import Parameters

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
NOT_RELEASED, NO_CHAMPION = "not released yet", "no champion yet"

C = TypeVar("C", bound=Parameters)
R = TypeVar("R")


class Summary(Protocol):
    """Result of a flow, when there is more to say than that it ended."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def outcome(self) -> str:
        """Outcome in a word or two, such as ``"drift"``."""

    @property
    def headline(self) -> str:
        """The most important fact, in one line."""


@dataclass(frozen=True)
class Conclusion:
    """Outcome of a flow whose result is a record of components; see `Summary`."""

    name: str
    outcome: str
    headline: str


S = TypeVar("S", bound=Summary)


@overload
def concluded(name: str, run_name: str) -> Callable[[Callable[[C], S]], Flow[[C], S]]: ...


@overload
def concluded(
    name: str, run_name: str, sum_up: Callable[[C, R], Summary]
) -> Callable[[Callable[[C], R]], Flow[[C], R]]: ...


def concluded(
    name: str, run_name: str, sum_up: Callable[[C, R], Summary] | None = None
) -> Callable[[Callable[[C], R]], Flow[[C], R]]:
    """Make a function a flow that ends in a state which says its outcome.

    An error of the user's is logged as one line. The summary names the final state and the run;
    callers of the flow are given the function's result. A model that has no version or no champion
    yet fails the run under a name of its own, so that it is nobody's alert. The Prefect UI
    describes the flow by the first line of the function's docstring.

    Arguments:
        name: of the flow.
        run_name: of its runs, with fields of ``config``.
        sum_up: gives the summary of parameters and result; None: the result is a `Summary`.
    """

    def decorate(function: Callable[[C], R]) -> Flow[[C], R]:
        @wraps(function)
        def body(config: C) -> R:
            _log_errors_as_lines()
            try:
                done = function(config)
            except (NotRegisteredError, NoChampionError) as error:
                state = NO_CHAMPION if isinstance(error, NoChampionError) else NOT_RELEASED
                return cast(R, Failed(name=state, message=str(error), data=error))
            summary = sum_up(config, done) if sum_up else cast(Summary, done)
            return cast(R, _completed(done, summary))

        # Prefect looks annotations up in the module of what it is given, which is this one.
        body.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
        description = (function.__doc__ or "").partition("\n")[0]
        return flow(name=name, flow_run_name=run_name, description=description)(body)

    return decorate


def _log_errors_as_lines() -> None:
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _OneLine) for one in logger.filters):
            logger.addFilter(_OneLine())


def _completed(done: R, summary: Summary) -> State[R]:
    get_run_logger().info("%s: %s: %s", summary.name, summary.outcome, summary.headline)
    if flow_run.id:
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=f"{summary.name}: {summary.outcome}")
    return Completed(name=summary.outcome, message=summary.headline, data=done)


class _OneLine(logging.Filter):
    """Turns the traceback of an error of ours into one line, once for the task and flow it ends."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, FovealError):
            return True
        details = "".join(traceback.format_exception(error))
        record.exc_info, record.exc_text = None, None
        if getattr(error, "was_logged", False):
            return False
        error.was_logged = True  # type: ignore[attr-defined]
        record.msg, record.args = "%s", (str(error),)
        logging.getLogger(record.name).debug("%s", details)
        return True
