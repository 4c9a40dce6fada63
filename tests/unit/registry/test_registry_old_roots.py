"""A store that an older Foveal wrote: hashes as tags of the versions, decisions without a chain."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from components.errors import RegistryError
from components.files import sha256_file
from components.package import verify_bundle
from model_registry import Registry, sqlite_uri
from model_registry.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def old(tmp_path, make_release):
    """A registry of two versions, the second one in production, in the form of before."""
    source = tmp_path / "best.pt"
    source.write_bytes(b"weights")
    registry = Registry(sqlite_uri(tmp_path / "mlflow.db"))
    for version, noise_floor in ((1, 0.1), (2, 0.2)):
        registry.log_release(make_release("parts", noise_floor=noise_floor, source=source))
        registry.promote("parts", version)
    client = open_store(registry.tracking_uri).client
    for version in registry.versions("parts"):
        for role, digest in registry.hashes(version).items():
            if role != "pyfunc":
                client.set_model_version_tag(
                    "parts", str(version.version), f"{role}_sha256", digest
                )
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("delete from params where key like 'sha256.%' or key = 'metric'")
        database.execute("delete from model_version_tags where key in ('previous', 'known_gaps')")
        database.execute("delete from registered_model_tags where key = 'foveal.record'")
        database.execute(
            "update model_version_tags set value = replace(value, '\"pyfunc\"', '\"unused\"') "
            "where key = 'decision'"
        )
    return Registry(registry.tracking_uri)


def test_its_versions_are_fetched_compared_rolled_back_and_promoted(old, tmp_path):
    champion = old.get("parts", "champion")
    assert (champion.version, old.history("parts").broken) == (2, ())
    assert verify_bundle(old.download_bundle(champion, tmp_path / "bundle")).ok
    assert (
        sha256_file(old.download_source(champion, tmp_path / "source"))
        == old.hashes(champion)["source"]
    )
    assert old.compare("parts", 1, 2).metrics
    assert old.rollback("parts").version == 1
    assert old.promote("parts", 2).version == 2
    assert [decided.number for decided in old.decisions("parts")] == [1, 2, 3, 4]


def test_its_record_is_chained_from_the_next_decision_on(old):
    old.rollback("parts")
    client = open_store(old.tracking_uri).client
    client.delete_prompt_version("parts.decisions", "2")
    assert old.history("parts").broken == ("decision 2 was deleted",)


def test_its_files_are_compared_as_before(old, tmp_path):
    version = old.get("parts", 1)
    stored = next(
        (tmp_path / "artifacts" / "parts" / version.run_id / "artifacts" / "source").iterdir()
    )
    stored.write_bytes(b"poison")
    with pytest.raises(RegistryError, match="the store's files were changed"):
        old.download_source(version, tmp_path / "output")
