"""A first champion by hand, where no Prefect server is: the command says when schedules begin."""

from __future__ import annotations

import pytest

from flows.cli.main import app
from flows.runtime.settings import Settings
from flows.tasks.decide import begin_schedules
from model_registry import Registry
from model_registry.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    """An empty registry, and an environment without servers."""
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings.from_environment()
    settings.make_root()
    return Registry(settings.tracking_uri, settings.artifact_root)


def test_the_first_promotion_says_when_schedules_begin_and_later_ones_do_not(registry, tmp_path, capsys):
    client = open_store(registry.tracking_uri).client
    client.create_registered_model("parts")
    for _ in range(2):
        client.create_model_version("parts", tmp_path.as_uri(), await_creation_for=0)
    for version, note in ((1, "schedules begin with the next foveal deploy or foveal up\n"), (2, "")):
        app(["promote", f"parts/{version}", "--json"], standalone_mode=False)
        said = capsys.readouterr().err
        assert said.endswith(note) and bool(said) is bool(note)


def test_a_named_server_that_does_not_answer_is_none(registry, monkeypatch, free_port):
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port}/api")
    assert not begin_schedules("parts")
