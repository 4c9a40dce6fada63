"""A first champion by hand, where no Prefect server is: the command says when schedules begin."""

from __future__ import annotations

import pytest

from components.errors import NoChampionError, RegistryError
from flows.cli.main import app
from flows.config.promote import PromotionConfig
from flows.reporting.outcome import Conclusion, concluded
from flows.runtime.settings import Settings
from flows.tasks.decide import begin_schedules, decide_by_hand
from flows.tasks.predict import serving
from flows.tasks.readiness import Readiness, readiness
from flows.tasks.retrain import fetch_champion
from model_registry import CHAMPION, Registry
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


def test_the_first_promotion_says_when_schedules_begin_and_later_ones_do_not(
    registry, tmp_path, capsys
):
    client = open_store(registry.tracking_uri).client
    client.create_registered_model("parts")
    for _ in range(2):
        client.create_model_version("parts", tmp_path.as_uri(), await_creation_for=0)
    for version, note in (
        (1, "schedules begin with the next foveal deploy or foveal up\n"),
        (2, ""),
    ):
        app(["promote", f"parts/{version}", "--json"], standalone_mode=False)
        said = capsys.readouterr().err
        assert said.endswith(note) and bool(said) is bool(note)


def test_a_named_server_that_does_not_answer_is_none(registry, monkeypatch, free_port):
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port}/api")
    assert not begin_schedules("parts")


def test_a_model_of_challengers_alone_has_no_champion_yet_which_is_nobodys_alert(
    registry, tmp_path
):
    client = open_store(registry.tracking_uri).client
    client.create_registered_model("parts")
    client.create_model_version("parts", tmp_path.as_uri(), await_creation_for=0)
    with pytest.raises(NoChampionError, match="promote one first: foveal promote parts/1"):
        registry.get("parts", CHAMPION)
    assert readiness("parts", Settings.from_environment()) == Readiness(released=False)
    assert ending(lambda _: registry.get("parts", CHAMPION)) == "no champion yet"
    assert ending(lambda _: registry.get("nobody", CHAMPION)) == "not released yet"
    with pytest.raises(RegistryError, match="choose one of these"):
        ending(lambda _: registry.get("parts", 7))


@pytest.mark.parametrize(
    "form",
    [
        lambda root: fetch_champion.fn("parts", root, trust=False),
        lambda root: serving("parts").__enter__(),
        lambda root: decide_by_hand(PromotionConfig(name="parts")),
        lambda root: decide_by_hand(PromotionConfig(name="parts", action="rollback")),
    ],
    ids=["retrain", "batch", "promote", "rollback"],
)
def test_forms_of_a_fresh_root_say_that_a_release_comes_first(form, registry, tmp_path):
    assert ending(lambda _: form(tmp_path)) == "not released yet"


def ending(body) -> str:
    """Run a flow with this body without Prefect, and name the state in which it ends."""

    @concluded("any", "{config.name}", lambda config, done: Conclusion(config.name, "done", ""))
    def flow(config: PromotionConfig) -> None:
        body(config)

    return flow.fn(PromotionConfig(name="parts")).name
