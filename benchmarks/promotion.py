"""Always exactly one champion, and a true history, with promoters killed around the alias swap."""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components import telemetry
from components.contracts import Decided, Outcome
from components.errors import RegistryError
from model_registry import CHAMPION, PREVIOUS_CHAMPION, Rationale, Registry, sqlite_uri
from model_registry.store import open_store

KILLS = 100
NAME, VERSIONS = "digits", 4
LONGEST_S = 0.8  # after its first swap began, a promoter lives no longer
PRELOADED = [
    "model_registry.registry",
    "mlflow.tracking.client",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "alembic.command",
    "sqlalchemy.dialects.sqlite",
]


@dataclass(frozen=True)
class _Said:
    """Journal entry of a promoter on a change.

    `ended` is None when the promoter was killed in the change, and `did` tells whether it
    succeeded.
    """

    event: str
    version: int | None
    began: datetime
    ended: datetime | None
    did: bool


@dataclass
class _Found:
    """Observations of a fresh process after a kill."""

    faults: list[str] = field(default_factory=list)
    decisions: tuple[Decided, ...] = ()
    inside: bool = False


def _registry(folder: Path) -> Registry:
    return Registry(sqlite_uri(folder / "mlflow.db"))


def _register(folder: Path) -> None:
    """Versions without files, the first of them in production."""
    registry = _registry(folder)
    client = open_store(registry.tracking_uri).client
    client.create_registered_model(NAME)
    for _ in range(VERSIONS):
        client.create_model_version(NAME, folder.as_uri(), await_creation_for=0)
    registry.promote(NAME, 1, Rationale(who="the bench"))


def _promoter(folder: Path, who: str, seed: int, begun: Any) -> None:
    """Promote, roll back and reject without a pause, and keep a journal of it, until killed."""
    registry, rng = _registry(folder), random.Random(seed)  # noqa: S311 - repeatable, not secret
    with (folder / f"journal-{who}").open("a") as journal:

        def write(*words: object) -> None:
            journal.write(" ".join(map(str, (*words, datetime.now(UTC).isoformat()))) + "\n")
            journal.flush()

        for count in range(10**6):
            rationale = Rationale(who=who, event=f"{who}-{count}")
            champion = registry.get(NAME, CHAMPION).version
            others = [version for version in range(1, VERSIONS + 1) if version != champion]
            version = rng.choice([*others, None])
            write("begin", rationale.event, version)
            begun.value = 1
            try:
                if version is None:
                    registry.rollback(NAME, rationale)
                elif rng.random() < 0.15:
                    registry.reject(NAME, version, rationale)
                else:
                    registry.promote(NAME, version, rationale)
                write("done", rationale.event)
            except RegistryError:
                write("lost", rationale.event)


def _journals(folder: Path) -> list[_Said]:
    said = []
    for path in sorted(folder.glob("journal-*")):
        lines = [line.split() for line in path.read_text().splitlines()]
        ends = {words[1]: words for words in lines if words[0] != "begin"}
        for _, event, version, began in (words for words in lines if words[0] == "begin"):
            how, _, ended = ends.get(event, ("killed", event, ""))
            number = None if version == "None" else int(version)
            end = datetime.fromisoformat(ended) if ended else None
            said.append(_Said(event, number, datetime.fromisoformat(began), end, how == "done"))
    return said


def _look(folder: Path, before: Sequence[Decided], answer: Any) -> None:
    """Everything that must hold after a kill, seen by a process that has just begun."""
    client = open_store(sqlite_uri(folder / "mlflow.db")).client
    found = _Found(
        inside=any(
            key.startswith("writing.") for key in client.get_prompt(f"{NAME}.decisions").tags
        )
    )
    aliases = client.get_registered_model(NAME).aliases
    if CHAMPION not in aliases:
        found.faults.append("no champion before anybody mended")
    registry = _registry(folder)
    champions = [
        version.version for version in registry.versions(NAME) if CHAMPION in version.aliases
    ]
    history = registry.history(NAME)
    found.decisions = history.decisions
    found.faults += _aliases(registry, champions) + _chain(found.decisions, before)
    found.faults += _events(found.decisions, _journals(folder)) + _leftovers(client)
    now = registry.champion_at(NAME, datetime.now(UTC))
    if now is None or [now.version] != champions:
        found.faults.append(f"in production now: {now}, the alias says {champions}")
    answer.put(found)


def _aliases(registry: Registry, champions: Sequence[int]) -> list[str]:
    faults = [] if len(champions) == 1 else [f"champions: {champions}"]
    previous = [v.version for v in registry.versions(NAME) if PREVIOUS_CHAMPION in v.aliases]
    expected = registry.history(NAME).previous
    if previous != ([] if expected is None else [expected]):
        faults.append(f"previous champion {previous}, the record says {expected}")
    return faults


def _chain(decisions: Sequence[Decided], before: Sequence[Decided]) -> list[str]:
    """Check that each change begins where the one before ended, and that nothing old is changed.

    The changes must be in order of number and time.
    """
    faults, champion = [], None
    if list(decisions[: len(before)]) != list(before):
        faults.append("an older decision was changed or lost")
    for one, two in pairwise(decisions):
        if not (one.number < two.number and one.at <= two.at):
            faults.append(f"decision {two.number} does not follow {one.number}")
    for decided in decisions:
        if decided.decision.champion_before != champion:
            faults.append(
                f"decision {decided.number} saw champion {decided.decision.champion_before}, not "
                f"{champion}"
            )
        if decided.decision.outcome is not Outcome.REJECTED:
            champion = decided.decision.version
        if decided.decision.outcome in (Outcome.ADOPTED, Outcome.WITHDRAWN):
            faults.append(f"decision {decided.number} took a kill for somebody's hand")
    return faults


def _events(decisions: Sequence[Decided], said: Sequence[_Said]) -> list[str]:
    """Check that the record holds what was reported done, nothing refused, and nothing twice."""
    counts = Counter(decided.decision.event for decided in decisions)
    faults = [
        f"{event} is there {count} times" for event, count in counts.items() if event and count > 1
    ]
    for change in said:
        there = bool(counts[change.event])
        if change.did and not there and not _already(decisions, change):
            faults.append(f"{change.event} was done, and is lost")
        if change.ended and not change.did and there:
            faults.append(f"{change.event} was refused, and is there")
    return faults


def _already(decisions: Sequence[Decided], change: _Said) -> bool:
    """Another promoter had made the same version the champion by then: nothing was left to do."""
    changes = [decided for decided in decisions if decided.decision.outcome is not Outcome.REJECTED]
    ends = [decided.at for decided in changes[1:]] + [datetime.now(UTC)]
    return any(
        one.decision.version == change.version
        and one.at <= (change.ended or end)
        and end >= change.began
        for one, end in zip(changes, ends, strict=True)
    )


def _leftovers(client: Any) -> list[str]:
    experiment = client.get_experiment_by_name(f"{NAME}.decisions").experiment_id
    unfinished = client.search_runs([experiment], "attributes.status = 'RUNNING'")
    open_now = [
        key for key in client.get_prompt(f"{NAME}.decisions").tags if key.startswith("writing.")
    ]
    return [
        f"{len(found)} {what}"
        for what, found in (("open runs", unfinished), ("announcements", open_now))
        if found
    ]


class _Watch(threading.Thread):
    """Thread that reads the alias all the time and counts the moments without a champion.

    It reads the alias as other programs do.
    """

    def __init__(self, database: Path) -> None:
        super().__init__(daemon=True)
        self.database, self.seen, self.without, self.stop = database, 0, 0, threading.Event()

    def run(self) -> None:
        query = "SELECT count(*) FROM registered_model_aliases WHERE name = ? AND alias = ?"
        with closing(sqlite3.connect(self.database, timeout=20)) as connection:
            while not self.stop.wait(0.002):
                (count,) = connection.execute(query, (NAME, CHAMPION)).fetchone()
                self.seen, self.without = self.seen + 1, self.without + (count != 1)


@contextmanager
def _watching(database: Path) -> Iterator[_Watch]:
    watch = _Watch(database)
    watch.start()
    yield watch
    watch.stop.set()
    watch.join()


def _strike(context: Any, folder: Path, rng: random.Random, number: int, promoters: int) -> None:
    """Let promoters work on the store, and kill each at random after its first change began."""
    # without a lock, which a killed process would keep
    begun = [context.RawValue("i", 0) for _ in range(promoters)]
    processes = [
        context.Process(target=_promoter, args=(folder, f"p{number}.{k}", rng.random(), flag))
        for k, flag in enumerate(begun)
    ]
    for process in processes:
        process.start()
    for process, flag in zip(processes, begun, strict=True):
        while not flag.value and process.is_alive():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, LONGEST_S))
        if not process.is_alive():
            raise RuntimeError(f"a promoter failed by itself, with exit code {process.exitcode}")
        process.kill()
    for process in processes:
        process.join()


def _in_fresh_process(context: Any, target: Any, *arguments: Any) -> Any:
    answer = context.SimpleQueue()
    process = context.Process(target=target, args=(*arguments, answer))
    process.start()
    found = answer.get()
    process.join()
    return found


def measure(kills: int = KILLS) -> Figure:
    """Kill promoters, alone and two at once, and after each time look from a fresh process."""
    telemetry.switch_off()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    started, rng = time.perf_counter(), random.Random(0)  # noqa: S311
    killed, rounds, inside = 0, 0, 0
    faults: list[str] = []
    before: tuple[Decided, ...] = ()
    with scratch() as name:
        folder = Path(name)
        _register(folder)
        with _watching(folder / "mlflow.db") as watch:
            while killed < kills:
                promoters = 1 + rounds % 2  # every other time two at once
                _strike(context, folder, rng, rounds, promoters)
                found = _in_fresh_process(context, _look, folder, before)
                killed, rounds, inside = killed + promoters, rounds + 1, inside + found.inside
                before = found.decisions
                faults += found.faults
    text = (
        f"{killed} kills, {len(faults)} faults in {len(before)} decisions, {watch.without} "
        "moments without a champion"
    )
    details = (
        *faults[:10],
        f"{inside} times a swap was left half done; {watch.seen} looks at the alias meanwhile",
        f"{time.perf_counter() - started:.0f} s",
    )
    ok = not faults and not watch.without and inside >= kills // 3
    bar = f"≥ {kills} kills, 0 faults, always one champion, a third of the kills amid a swap"
    return Figure("promotion", text, bar, ok and killed >= kills, details)


if __name__ == "__main__":
    conclude(measure)
