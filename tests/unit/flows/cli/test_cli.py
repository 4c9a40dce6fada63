"""The command itself: its version, its help in groups, and the ways to name a version."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from flows.cli import shared
from flows.cli.main import app


def run(*arguments: str):
    return CliRunner().invoke(app, arguments)


def test_it_says_its_version():
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"foveal {version('foveal')}\n")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_shows_every_command_in_a_group(option):
    done = run(option)
    assert done.exit_code == 0
    for group in (
        shared.RUNNING,
        shared.WATCHING,
        shared.IMPROVING,
        shared.VERSIONS,
        shared.OPERATING,
    ):
        assert f" {group} " in done.stdout
    assert " Commands " not in done.stdout, "a command without a group"
    assert run("release", option).exit_code == 0


def test_completion_can_be_installed():
    assert "--install-completion" in run("--help").stdout


@pytest.mark.slow
def test_models_of_an_empty_root_say_what_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "no model is registered yet: foveal release CONFIG" in run("models").stdout
    assert json.loads(run("models", "--json").stdout) == []
