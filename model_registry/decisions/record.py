"""A model's append-only decision record: versions of an MLflow model of its own, NAME.decisions.

Creating a version is the one call of MLflow's that hands out numbers in order and writes all of an
entry, or nothing of it, on every store (docs/decisions/0009). Nothing of an entry is changed or
removed afterwards. MLflow takes the record for a prompt, so that it does not stand in the list of
models (docs/decisions/0031).
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.contracts import Decision, Outcome, dump, load
from components.errors import FovealError
from model_registry.decisions import seen
from model_registry.decisions.chain import ANCHOR, KNOWN_GAPS, PREVIOUS, breaks, link, numbers
from model_registry.decisions.history import BY_HAND, Entry, History, replay
from model_registry.description import RECORD_SUFFIX
from model_registry.failures import passing_over
from model_registry.store import Store, contended, sqlite_file, taking_turns

_STATED_CHARACTERS = 60_000  # of a decision in its entry's tag; MySQL's column holds 65,535 bytes
_DESCRIPTION_LIMIT = 5000  # characters that MLflow's schema keeps
_HIDDEN = "mlflow.prompt.is_prompt"  # MLflow's mark of a registered model that its list leaves out
_OPEN = "writing."  # tags of the record: who is about to append or to move aliases
_INTENT = re.compile(r"(\d{1,9}) (\d{1,12}\.\d+)")
_ABANDONED_S = 600.0  # after so long, one who was about to write on a server is taken for dead


@dataclass(frozen=True)
class Intent:
    """Somebody is writing, or was killed while writing.

    Arguments:
        key: of the attempt.
        after: the record's head when it began; aliases may show the champion after any later entry.
        since: seconds since the epoch, by its own clock.
    """

    key: str
    after: int
    since: float


@dataclass(frozen=True)
class Record:
    """The decision record of one model.

    Arguments:
        store: that holds it.
        model: name of the model.
        seen: folder that keeps the newest entry seen from here, out of the store's reach; None
            keeps none.
    """

    store: Store
    model: str
    seen: Path | None = None

    @property
    def name(self) -> str:
        """Name of the registered model whose versions are the entries."""
        return self.model + RECORD_SUFFIX

    def read(self) -> History:
        """The record, replayed; a deleted version is no champion to go back to."""
        # before what they are compared with
        pins = seen.read(self.seen, self.store, self.model), self._anchored()
        rows = self._rows(self.name)
        # others were made by somebody else
        entries = [_entry(row) for row in rows if "decision" in row.tags]
        unreadable = [entry for entry in entries if isinstance(entry, int)]
        history = replay(entry for entry in entries if isinstance(entry, Entry))
        history = replace(history, broken=breaks(rows, *pins, unreadable=unreadable))
        if rows and not history.broken:
            seen.write(self.seen, self.store, self.model, link(rows[-1]))
        if history.former:
            there = self.versions()
            history = replace(
                history, former=tuple(version for version in history.former if version in there)
            )
        return replace(history, head=int(rows[-1].version)) if rows else history

    def head(self) -> int:
        """The number of the newest entry; 0 for none."""
        newest = self._newest()
        return int(newest.version) if newest else 0

    def anchor(self) -> None:
        """Have the model name the newest entry, so that its deletion, too, is noticed."""
        newest, model = self._newest(), self._model(self.model)
        if newest and model and model.tags.get(ANCHOR) != link(newest):
            contended(self.store.client.set_registered_model_tag, self.model, ANCHOR, link(newest))

    def aliases(self) -> dict[str, int]:
        """The model's aliases; none for a model that is not registered."""
        model = self._model(self.model)
        return {alias: int(version) for alias, version in model.aliases.items()} if model else {}

    def versions(self) -> frozenset[int]:
        """Numbers of the model's versions that are there."""
        return frozenset(int(row.version) for row in self.rows())

    def rows(self) -> list[Any]:
        """The model's versions as MLflow has them, oldest first."""
        return self._rows(self.model)

    def set_alias(self, alias: str, version: int) -> None:
        """Move an alias of the model to a version, in one step."""
        contended(self.store.client.set_registered_model_alias, self.model, alias, str(version))

    def delete_alias(self, alias: str) -> None:
        """Take an alias of the model away."""
        contended(self.store.client.delete_registered_model_alias, self.model, alias)

    def append(self, decision: Decision, key: str, run: Any, description: str) -> None:
        """Add an entry; whether it counts is for the next `read` to say."""
        stated = json.dumps(dump(decision))
        if len(stated.encode()) > _STATED_CHARACTERS:
            # the run's decision.json has them
            stated = json.dumps(dump(replace(decision, gates=None)))
        before = decision.champion_before
        tags = {
            "entry": key,
            "outcome": decision.outcome.value,
            "version": str(decision.version),
            "champion_before": "" if before is None else str(before),
            "trigger": decision.trigger,
            "decision": stated,
            PREVIOUS: link(newest) if (newest := self._newest()) else "",
        }
        # nobody has looked at the record
        noticed = decision.outcome in (Outcome.ADOPTED, Outcome.WITHDRAWN)
        if decision.trigger == BY_HAND and not noticed and (gaps := numbers(self.read().broken)):
            tags[KNOWN_GAPS] = gaps
        contended(
            self.store.client.create_model_version,
            self.name,
            run.info.artifact_uri,
            run_id=run.info.run_id,
            tags=tags,
            description=description[:_DESCRIPTION_LIMIT],
            await_creation_for=0,
        )
        if KNOWN_GAPS in tags:
            # the person goes on from here, even where the whole record begins anew
            self.anchor()
            seen.write(self.seen, self.store, self.model, link(self._newest()), anew=True)

    def intents(self) -> tuple[Intent, ...]:
        """Return the attempts of those who are writing, or were killed while writing."""
        found = self._hidden() or self._model(self.name)  # the latter of an older Foveal
        return tuple(
            Intent(key.removeprefix(_OPEN), int(said[1]), float(said[2]))
            for key, value in (found.tags if found else {}).items()
            if key.startswith(_OPEN) and (said := _INTENT.fullmatch(value))
        )

    @contextmanager
    def writing(self, after: int) -> Iterator[str]:
        """Yield the key of an attempt; while open, or left by a kill, others know of it.

        Arguments:
            after: the record's head as it was read before.
        """
        key = uuid.uuid4().hex
        if self._hidden() is None:
            self._make()
        self.store.client.set_prompt_tag(self.name, _OPEN + key, f"{after} {time.time():.3f}")
        try:
            yield key
        except FovealError:
            self.close(key)
            raise
        self.close(key)

    def close(self, key: str) -> None:
        """Forget an attempt that has come to its end."""
        self.store.client.delete_prompt_tag(self.name, _OPEN + key)

    def dead(self, intents: tuple[Intent, ...]) -> tuple[Intent, ...]:
        """Return those that will not write again: all on an embedded store, under its lock."""
        if sqlite_file(self.store) is not None:
            return intents
        return tuple(intent for intent in intents if time.time() - intent.since > _ABANDONED_S)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the embedded store's lock, so that writers take turns; nothing on a server."""
        with taking_turns(self.store, "decisions"):
            yield

    def _newest(self) -> Any:
        rows = self.store.client.search_model_versions(
            f"name = '{self.name}'", max_results=1, order_by=["version_number DESC"]
        )
        return rows[0] if rows else None

    def _anchored(self) -> str:
        model = self._model(self.model)
        return model.tags.get(ANCHOR, "") if model else ""

    def _model(self, name: str) -> Any:
        with passing_over("RESOURCE_DOES_NOT_EXIST"):
            return self.store.client.get_registered_model(name)
        return None

    def _hidden(self) -> Any:
        """The record where it is out of the list of models; None if it is not there."""
        found = self.store.client.search_registered_models(
            f"name = '{self.name}' AND tag.`{_HIDDEN}` = 'true'"
        )
        return found[0] if found else None

    def _rows(self, name: str) -> list[Any]:
        rows, token = [], None
        while True:
            page = self.store.client.search_model_versions(
                f"name = '{name}'", order_by=["version_number ASC"], page_token=token
            )
            rows += page
            token = page.token
            if not token:
                return rows

    def _make(self) -> None:
        """Make the record, or take the one of an older Foveal out of the list of models."""
        client = self.store.client
        with passing_over("RESOURCE_ALREADY_EXISTS"):
            client.create_prompt(
                self.name,
                tags={"foveal.kind": "decisions"},
                description=f"The append-only decision record of `{self.model}`, written by "
                "Foveal: one version is one "
                "decision, its run holds the gates. Nothing here is to be edited or deleted.",
            )
        if self._hidden() is None:
            client.set_prompt_tag(self.name, _HIDDEN, "true")


def _entry(row: Any) -> Entry | int:
    """Read an entry of the record, or the number of one changed until it is unreadable."""
    try:
        decision, key = load(Decision, json.loads(row.tags["decision"])), row.tags["entry"]
    except (ValueError, LookupError, TypeError, AttributeError, FovealError):
        return int(row.version)
    at = datetime.fromtimestamp(row.creation_timestamp / 1000, UTC)
    return Entry(int(row.version), at, key, row.run_id, decision)
