"""Facts of a version by name: its run's parameters, which are fixed, and tags of older releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from model_registry.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as Row

HASH_PARAM = "sha256."  # parameters of a release's run: role → sha256
_HASH_TAG = "_sha256"  # tags of a version, before its hashes were parameters
_NAMED = ("backend", "metric", "precision", "target", "task", "variant")


def facts_of(store: Store, row: Row) -> dict[str, str]:
    """Return a version's facts: tags, what it was measured as, ``ROLE_sha256`` of files and data.

    Arguments:
        store: that has it.
        row: the version, as MLflow gives it.
    """
    params = store.client.get_run(row.run_id).data.params if row.run_id else {}
    named = {name: params[name] for name in _NAMED if name in params}
    hashes = {
        f"{key.removeprefix(HASH_PARAM)}{_HASH_TAG}": value
        for key, value in params.items()
        if key.startswith(HASH_PARAM)
    }
    return {**named, **row.tags, **hashes}


def hashes_of(facts: Mapping[str, str]) -> dict[str, str]:
    """Role → sha256 of the files and data of a version, by what is known of it."""
    return {
        key.removesuffix(_HASH_TAG): value
        for key, value in facts.items()
        if key.endswith(_HASH_TAG)
    }
