"""Steps: Prefect tasks whose results are cached by the content of their inputs.

A step's key is a hash of its name, of the source of the components, and of what its arguments hold:
files by their bytes, datasets by images and labels, image sources by name, size and time. Its files
go to a folder named by that key. So a rerun skips what is finished, a crashed run resumes where it
stopped, and a changed file is never served from the cache. Of several processes that come to the
same step at once one does it, and the others wait for its result.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, cast
from uuid import UUID

from prefect import Task, task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from prefect.serializers import Serializer
from prefect.settings import (
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_TASKS_REFRESH_CACHE,
    temporary_settings,
)
from prefect.transactions import IsolationLevel
from pydantic import BaseModel

import components
from components import contracts
from components.contracts import ModelArtifact
from components.errors import FovealError, InputError
from components.files import flush, is_whole, sha256_json, sha256_path, sha256_tree, write_json
from components.images.sources import ImageSource, fingerprint, list_images
from flows.reporting.progress import note, timed
from flows.reporting.task_progress import shown_in_prefect
from flows.runtime.outages import FULL
from flows.runtime.settings import Settings
from flows.runtime.step_lock import StepLock

_keys: dict[UUID, str] = {}  # task run → content key, computed once per run
_taken: dict[UUID | None, list[str]] = {}  # flow run → steps whose finished results were taken
_told: set[UUID | None] = set()  # flow runs that have said so

P = ParamSpec("P")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of a labelled dataset: the path of the dataset and the split's name."""

    data: Path
    name: str


@dataclasses.dataclass(frozen=True)
class Images:
    """Images to run on: of a folder, a glob, a manifest or a URL, or listed under a name."""

    source: str
    listed: tuple[ImageSource, ...] = ()


class ContractSerializer(Serializer):
    """Results as JSON that names the contract it holds; reading it executes nothing in it."""

    type: Literal["foveal-contract"] = "foveal-contract"

    def dumps(self, obj: Any) -> bytes:
        """A contract, a tuple of contracts, a path, None, or the words of an error as JSON."""
        if isinstance(obj, tuple):
            body = {"kind": "tuple", "items": [json.loads(self.dumps(item)) for item in obj]}
        elif obj is None:
            body = {"kind": "none"}
        elif isinstance(obj, BaseException):
            body = {"kind": "error", "value": f"{type(obj).__name__}: {obj}"}
        elif isinstance(obj, Path):
            body = {"kind": "path", "value": str(obj)}
        else:
            body = {"kind": type(obj).__name__, "value": contracts.dump(obj)}
        return json.dumps(body).encode()

    def loads(self, blob: bytes) -> Any:
        """Return what `dumps` was given; an error comes back as a RuntimeError with its words."""
        return self._revive(json.loads(blob))

    def _revive(self, body: Any) -> Any:
        match body["kind"]:
            case "tuple":
                return tuple(self._revive(item) for item in body["items"])
            case "none":
                return None
            case "error":
                return RuntimeError(body["value"])
            case "path":
                return Path(body["value"])
            case kind:
                return contracts.load(getattr(contracts, kind), body["value"])


@cache
def _code_hash() -> str:
    return sha256_tree(Path(components.__file__).parent, pattern="*.py")


def _identity(value: Any) -> Any:
    """Return what of an argument decides the result, as JSON values."""
    from components.datasets.dataset import load_dataset

    match value:
        case Split():
            return load_dataset(value.data, value.name, objects=False).sha256
        case Images():
            return [fingerprint(source) for source in value.listed or list_images(value.source)]
        case ModelArtifact():
            return [value.sha256, contracts.dump(value.spec), contracts.dump(value.precision)]
        case Path():
            return _content(value) if value.exists() else str(value)
        case BaseModel():
            return {name: _identity(getattr(value, name)) for name in type(value).model_fields}
        case tuple() | list():
            return [_identity(item) for item in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {
                field.name: _identity(getattr(value, field.name))
                for field in dataclasses.fields(value)
            }
        case dict():
            return {str(key): _identity(item) for key, item in value.items()}
        case _:
            return value


def _content(path: Path) -> str:
    """Hash of a file with all that it refers to, or of a folder."""
    from components.backends import sha256_model

    return sha256_path(path) if path.is_dir() else sha256_model(path)


def step_key(name: str, arguments: dict[str, Any]) -> str:
    """The content key of a step with these arguments: its name and a hash."""
    identity = [name, str(Settings.from_environment().root), _code_hash(), _identity(arguments)]
    return f"{name.replace(' ', '-')}-{sha256_json(identity)[:24]}"


def working_folder() -> Path:
    """The folder that belongs to the running step, named by its content key. It may not exist yet.

    Inside a step only.
    """
    run = TaskRunContext.get()
    if run is None:
        raise RuntimeError("working_folder() is for the body of a step")
    # Without a key, its computation failed and Prefect only logged that: computing it again raises
    # the reason.
    key = _keys.get(run.task_run.id) or step_key(run.task.name, run.parameters)
    return Settings.from_environment().steps / key


def _cache_key(context: TaskRunContext, arguments: dict[str, Any]) -> str:
    """Return the step's key, first forgetting a result that is unsure or lacks sound files."""
    key = _keys[context.task_run.id] = step_key(context.task.name, arguments)
    record, folder = (
        Path(PREFECT_LOCAL_STORAGE_PATH.value()) / key,
        Settings.from_environment().steps / key,
    )
    if record.exists():
        sound = is_sound(folder)
        if not sound:
            shutil.rmtree(folder, ignore_errors=True)
        if not sound or not _is_json(record):
            record.unlink(missing_ok=True)
    if record.exists() and not PREFECT_TASKS_REFRESH_CACHE.value():
        _taken.setdefault(context.task_run.flow_run_id, []).append(context.task.name)
    return key


def _tell_resumed(name: str) -> None:
    """Say once in a flow run which finished steps were taken, when the first with work begins."""
    run = TaskRunContext.get()
    if run is None or run.task_run.flow_run_id in _told:
        return
    if steps := _taken.pop(run.task_run.flow_run_id, []):
        _told.add(run.task_run.flow_run_id)
        note([f"{', '.join(dict.fromkeys(steps))}: finished before; goes on with {name}"])


def _is_json(record: Path) -> bool:
    """Tell whether Prefect can read a result; it does not flush what it writes."""
    try:
        return isinstance(json.loads(record.read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


def seal(folder: Path) -> None:
    """Bring a finished step's files to the disk, and note beside them how large each is."""
    flush(folder)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}
    write_json(_listing(folder), sizes)


def is_sound(folder: Path) -> bool:
    """Tell whether a step's files are there, of the same size, and readable if quickly seen."""
    listing = _listing(folder)
    if not folder.exists() or not is_whole(listing):
        return False
    wanted: dict[str, int] = json.loads(listing.read_text(encoding="utf-8"))
    files = _files(folder)
    found = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    return found == wanted and all(
        is_whole(path) for path in files if path.suffix in (".json", ".parquet")
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _listing(folder: Path) -> Path:
    """Beside the folder: what is in it belongs to the step."""
    return folder.with_name(f"{folder.name}.files.json")


@contextmanager
def refreshing(wanted: bool = True) -> Iterator[None]:
    """Have every step of the block done anew, whether it was finished before or not.

    Arguments:
        wanted: False leaves all as it is.
    """
    with temporary_settings({PREFECT_TASKS_REFRESH_CACHE: True}) if wanted else nullcontext():
        yield


def _worth_a_retry(task_: Any, run: Any, state: Any) -> bool:
    """Tell whether a failure may pass by itself: one of a server or a store may.

    Bad input, a full disk and our own verdicts stay.

    An error of ours that has a cause was translated from another library's; one without is a
    judgement.
    """
    error = state.result(raise_on_failure=False)
    if isinstance(error, FovealError):
        return not isinstance(error, InputError) and error.__cause__ is not None
    return not (isinstance(error, OSError) and error.errno in FULL)


def step(
    name: str, *, retries: int = 0, cached: bool = True, sure: Callable[[Any], bool] | None = None
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a step.

    Arguments:
        name: what people read; part of the key.
        retries: how often to try again, after 2, 4, 8, … s, where that may help; 5 wait for a
            minute.
        cached: keep the result by content; the function then writes its files to
            `working_folder()`.
        sure: says of a result whether later runs may take it, such as a measurement that is not
            mostly noise.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        options: dict[str, Any] = {"persist_result": False}
        if cached:
            options = {
                "persist_result": True,
                "result_serializer": ContractSerializer(),
                "cache_policy": CacheKeyFnPolicy(cache_key_fn=_cache_key).configure(
                    lock_manager=StepLock(), isolation_level=IsolationLevel.SERIALIZABLE
                ),
            }
        if retries:
            options |= {
                "retries": retries,
                "retry_delay_seconds": [2.0**n for n in range(1, retries + 1)],
                "retry_condition_fn": _worth_a_retry,
            }

        @wraps(function)
        def body(*arguments: P.args, **named: P.kwargs) -> R:
            _tell_resumed(name)
            with shown_in_prefect(), timed(name):
                place = working_folder() if cached else None
                if place and PREFECT_TASKS_REFRESH_CACHE.value():  # the step's lock is held
                    shutil.rmtree(place, ignore_errors=True)
                    _listing(place).unlink(missing_ok=True)
                result = function(*arguments, **named)
                if place and place.exists() and (sure is None or sure(result)):
                    seal(place)
                return result

        return cast("Task[P, R]", task(name=name, **options)(body))

    return decorate
