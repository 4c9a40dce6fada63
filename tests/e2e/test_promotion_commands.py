"""Promote, roll back, look back and compare, as a person does it."""

from __future__ import annotations

import json
import signal
import stat
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from components.errors import ConfigError, RegistryError
from flows.cli.main import app
from flows.tasks import components as tasks
from model_registry import Registry, sqlite_uri
from model_registry.store import open_store


@pytest.fixture(scope="module")
def registry(released):
    """The registry of the shared release, with a model of four bare versions in it."""
    registry = Registry(sqlite_uri(released.root / "mlflow" / "mlflow.db"))
    client = open_store(registry.tracking_uri).client
    client.create_registered_model("raced")
    for _ in range(4):
        client.create_model_version("raced", released.root.as_uri(), await_creation_for=0)
    return registry


@pytest.fixture
def say(released, registry, monkeypatch, capsys):
    """Run a command in this process and return what it printed: ``say("history", "raced")``."""
    monkeypatch.setenv("FOVEAL_HOME", str(released.root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FOVEAL_USER", "ann")

    def run(*words):
        app([str(word) for word in words], standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_a_release_is_a_decision_that_names_its_rule(registry):
    (decided,) = registry.decisions("digits")
    decision = decided.decision
    assert (decision.outcome, decision.version, decision.champion_before) == ("promoted", 1, None)
    assert (decision.trigger, decision.reasons[1]) == (
        "release",
        "no version of its name was in production before",
    )
    assert decision.reasons[0].startswith("promote: verified")
    assert {"reference", "val", "bundle", "model"} <= set(decision.hashes)


def test_promotion_rollback_and_what_is_said_of_them(released, say):
    said = json.loads(say("promote", "raced/1", "--reason", "the only one", "--json"))
    assert (said["champion"], said["previous_champion"]) == (1, None)
    assert (said["decision"]["decision"]["who"], said["decision"]["decision"]["reasons"]) == (
        "ann",
        ["the only one"],
    )
    assert "champion is raced/2, previous champion raced/1" in say(
        "promote", "raced", "2", "--who", "bob"
    )
    done = released.foveal("rollback", "raced", "--reason", "blind at night", "--json")
    assert (done.returncode, json.loads(done.stdout)["champion"]) == (0, 1), done.stderr
    table = say("history", "raced")
    assert "promoted     v2       v1 → v2   by hand  bob" in table
    assert "rolled back  v1       v2 → v1   by hand" in table
    assert "blind at night" in table
    with pytest.raises(
        RegistryError, match="raced/1 with nothing before it; raced/2 left production before"
    ):
        say("rollback", "raced")
    assert json.loads(say("rollback", "raced", "--to", "2", "--json"))["champion"] == 2


def test_history_answers_for_a_moment(say, registry):
    say("promote", "raced/3")
    decided = registry.decisions("raced")[-1]
    while (now := datetime.now(UTC).replace(microsecond=0)) < decided.at:
        time.sleep(0.1)
    here = now.astimezone().strftime("%Y-%m-%d %H:%M:%S")  # a time without a zone is this machine's
    found = json.loads(say("history", "raced", "--at", here, "--json"))["in_production"]
    assert (found["version"], found["until"], found["by"]["number"]) == (3, None, decided.number)
    assert f"raced/3, in production since {decided.at:%Y-%m-%d %H:%M:%S} UTC" in say(
        "history", "raced", "--at", here
    )
    assert "no version of raced was in production" in say("history", "raced", "--at", "2020-01-01")
    with pytest.raises(ConfigError, match="passed"):
        say("history", "raced", "--at", (now + timedelta(days=2)).strftime("%Y-%m-%d"))


def test_a_release_that_is_run_again_does_not_undo_a_rollback(say, registry):
    for version in (1, 4):
        say("promote", f"raced/{version}")
    say("rollback", "raced")
    promote = tasks.promote.fn
    assert promote(registry.get("raced", 4)).aliases == ()
    assert registry.get("raced", "champion").version == 1


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("promote", "raced"), "NAME/version"),
        (("promote", "raced/9"), "version 9 of raced, found versions 1"),
        (("promote", "raced@challenger"), "alias challenger"),
        (("rollback", "unheard-of"), "no model of that name"),
        (("rollback", "raced", "--to", "9"), "version 9 of raced"),
        (("history", "unheard-of"), "no model of that name"),
        (("compare", "raced", "1", "best"), "alias best"),
    ],
)
def test_what_is_wrong_is_one_line_that_says_what_there_is(say, words, error):
    with pytest.raises((ConfigError, RegistryError), match=error) as raised:
        say(*words)
    assert "\n" not in str(raised.value)


def test_two_versions_are_shown_side_by_side(say):
    shown = say("compare", "digits", "1", "champion")
    assert "map50_95" in shown and "+0.0000" in shown
    assert "no parameter that differs" in shown
    assert "/#/compare-model-versions?name=%22digits%22&runs=" in shown


def test_compare_opens_mlflows_own_page_and_stops_its_server_with_the_command(
    released, start, monkeypatch, tmp_path
):
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    process = start("compare", "digits", "1", "champion", "--open", root=released.root)
    while not opened.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    address, _, page = opened.read_text().strip().partition("/#/")
    assert page.startswith("compare-model-versions?name=%22digits%22")
    assert healthy(address)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == 0
    assert not healthy(address)


def healthy(address):
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310
            return answer.status == 200
    except urllib.error.URLError:
        return False
