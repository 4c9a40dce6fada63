"""Summary of a registered model: its versions, champion and decisions, read without changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from model_registry.decisions.record import Record
from model_registry.description import RECORD_SUFFIX
from model_registry.store import Store


@dataclass(frozen=True)
class ModelSummary:
    """One registered model.

    Arguments:
        name: of the model.
        versions: how many it has.
        aliases: alias → version, as MLflow serves them now.
        decisions: outcome → how many decisions of its record had it.
        broken: entries of its record that were deleted or changed outside of Foveal, one line each.
    """

    name: str
    versions: int
    aliases: Mapping[str, int]
    decisions: Mapping[str, int]
    broken: tuple[str, ...] = ()


def registered_names(store: Store) -> list[str]:
    """Names of all registered models, sorted, without the records of decisions."""
    names: list[str] = []
    token = None
    while True:
        page = store.client.search_registered_models(page_token=token)
        names += [model.name for model in page if not model.name.endswith(RECORD_SUFFIX)]
        token = page.token
        if not token:
            return sorted(names)


def summarise_model(record: Record) -> ModelSummary:
    """Sum up one model."""
    history = record.read()
    outcomes = Counter(entry.decision.outcome.value for entry in history.entries)
    return ModelSummary(
        record.model, len(record.versions()), record.aliases(), dict(outcomes), history.broken
    )
