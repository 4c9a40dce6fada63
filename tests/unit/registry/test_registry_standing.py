"""How models stand, for a dashboard that asks every few seconds: read, and nothing is touched."""

from __future__ import annotations

import pytest

from model_registry import Registry, sqlite_uri
from model_registry.store import open_store

pytestmark = pytest.mark.slow


def test_standings_tell_versions_aliases_and_decisions_and_leave_what_was_moved_by_hand(tmp_path):
    uri = sqlite_uri(tmp_path / "mlflow.db")
    registry, client = Registry(uri), open_store(uri).client
    for name, versions in (("parts", 3), ("bare", 0)):
        client.create_registered_model(name)
        for _ in range(versions):
            client.create_model_version(name, tmp_path.as_uri(), await_creation_for=0)
    registry.promote("parts", 1)
    registry.promote("parts", 2)
    registry.rollback("parts")
    client.set_registered_model_alias("parts", "champion", "3")
    bare, parts = registry.model_summaries()
    assert (bare.name, bare.versions, dict(bare.aliases), dict(bare.decisions)) == (
        "bare",
        0,
        {},
        {},
    )
    assert (parts.name, parts.versions) == ("parts", 3)
    assert dict(parts.aliases) == {"champion": 3}
    assert dict(parts.decisions) == {"promoted": 2, "rolled_back": 1}
    assert registry.model_summaries()[1] == parts, (
        "asking again finds the same: nothing was adopted into the record"
    )
