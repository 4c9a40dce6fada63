"""Checkpoints that may be unpickled: those trusted on this storage root, whatever MLflow says."""

from __future__ import annotations

import pytest

from components.errors import ConfigError
from flows.runtime import trusted_checkpoints as trust


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "home"


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "best.pt"
    path.write_bytes(b"weights")
    return path


def test_a_checkpoint_that_nobody_trusted_here_is_refused_before_anything_is_loaded(
    root, checkpoint
):
    with pytest.raises(
        ConfigError, match=r"best\.pt of parts/2, sha256 \w{64}, .*foveal retrain --trust-pickle"
    ) as no:
        trust.require_trusted(checkpoint, "parts/2", asked=False)
    assert "\n" not in str(no.value)


def test_what_was_released_here_is_trusted_and_another_file_of_its_name_is_not(root, checkpoint):
    trust.remember(checkpoint)
    trust.require_trusted(checkpoint, "parts/2", asked=False)
    checkpoint.write_bytes(b"poison")
    with pytest.raises(ConfigError, match="only MLflow says"):
        trust.require_trusted(checkpoint, "parts/2", asked=False)


def test_a_word_is_remembered(root, checkpoint):
    trust.require_trusted(checkpoint, "parts/2", asked=True)
    trust.require_trusted(checkpoint, "parts/2", asked=False)
    assert (root / "trusted").stat().st_mode & 0o077 == 0


def test_a_root_of_before_knows_the_checkpoints_of_its_own_database(
    root, checkpoint, registered_before
):
    trust.require_trusted(checkpoint, "parts/1", asked=False)


@pytest.fixture
def registered_before(root, checkpoint):
    """A version with a checkpoint, in a database without any word of trust."""
    from components.files import sha256_file
    from flows.runtime.settings import Settings
    from model_registry import Registry
    from model_registry.store import open_store

    settings = Settings.from_environment()
    uri = Registry(settings.tracking_uri, settings.artifact_root).tracking_uri
    client = open_store(uri).client
    client.create_registered_model("parts")
    tags = {"source_sha256": sha256_file(checkpoint)}
    client.create_model_version("parts", root.as_uri(), tags=tags, await_creation_for=0)
