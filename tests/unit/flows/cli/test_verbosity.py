"""`-q` leaves results and errors, `-v` adds details, before and after a command's name."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from flows.cli.screens.progress import Events
from tests.conftest import clean_environment

SCRIPT = """
import logging
from flows.cli.main import app, main
from flows.cli.screens.progress import progress
from components.errors import ConfigError
from flows.reporting.progress import note

@app.command("try")
def attempt() -> None:
    with progress(False):
        note(["a night was picked up"])
        logging.getLogger("components.inference").debug("from https://user:secret@store.example/shots")
    print("the result")
    raise ConfigError("a model", found="https://user:secret@store.example/model")

main()
"""


def attempt(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=clean_environment(cwd / "home"),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_usually_notes_and_the_line_of_an_error_are_shown(tmp_path):
    done = attempt("try", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "the result\n")
    note, error = done.stderr.splitlines()
    assert note == "note: a night was picked up" and error.startswith("error: expected a model")


@pytest.mark.parametrize("arguments", [("-q", "try"), ("try", "--quiet")])
def test_quiet_leaves_results_and_errors(tmp_path, arguments):
    done = attempt(*arguments, cwd=tmp_path)
    assert done.stdout == "the result\n"
    (error,) = done.stderr.splitlines()
    assert error.startswith("error: expected a model")


@pytest.mark.parametrize("arguments", [("--verbose", "try"), ("try", "-v")])
def test_verbose_adds_the_log_and_the_traceback_without_secrets(tmp_path, arguments):
    done = attempt(*arguments, cwd=tmp_path)
    lines = done.stderr.splitlines()
    assert any("DEBUG components.inference: from https://" in line for line in lines)
    assert "Traceback (most recent call last):" in lines and lines[-1].startswith(
        "error: expected a model"
    )
    assert "secret" not in done.stderr


def test_a_working_directory_that_was_removed_is_one_line(tmp_path):
    place = tmp_path / "gone"
    place.mkdir()
    program = f"import os\nos.rmdir({str(place)!r})\nfrom flows.cli.main import main\nmain()\n"
    for command in ("models", "doctor"):
        place.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, command],
            env={
                key: value
                for key, value in clean_environment(tmp_path).items()
                if key != "FOVEAL_HOME"
            },
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert "expected a working directory" in done.stderr


def test_a_folder_that_cannot_be_written_is_one_line_that_names_the_variable(tmp_path):
    """/proc takes no folder of anybody's, not even of root."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from flows.cli.main import main; main()", "history", "parts"],
        env=clean_environment(Path("/proc/foveal/home")),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "/proc/foveal" in done.stderr and "FOVEAL_HOME" in done.stderr


@pytest.mark.parametrize("arguments", [("--log-json", "try"), ("try", "--log-json")])
def test_the_log_as_json_is_one_object_a_line_without_secrets(tmp_path, arguments):
    done = attempt(*arguments, cwd=tmp_path)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, done.stdout) == (2, "the result\n")
    assert [(one["level"], one["event"]) for one in events] == [
        ("info", "note"),
        ("info", "ended"),
        ("error", "failed"),
    ]
    assert events[0]["message"] == "a night was picked up"
    assert events[1]["command"] == " ".join(arguments) and events[1]["seconds"] >= 0
    assert events[2]["message"].startswith("expected a model")
    assert all(datetime.fromisoformat(one["time"]).tzinfo is not None for one in events)
    assert "secret" not in done.stderr


def test_the_level_of_the_json_log_follows_the_options(tmp_path):
    quiet, verbose = (
        [json.loads(line) for line in attempt("try", *options, cwd=tmp_path).stderr.splitlines()]
        for options in (("-q", "--log-json"), ("-v", "--log-json"))
    )
    assert [one["event"] for one in quiet] == ["failed"]
    (log,) = (one for one in verbose if one["event"] == "log")
    assert (log["level"], log["logger"]) == ("debug", "components.inference")
    assert log["message"].startswith("from https://") and "secret" not in log["message"]


def test_wrong_arguments_are_an_event_of_the_json_log(tmp_path):
    done = attempt("try", "--log-json", "--no-such-option", cwd=tmp_path)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [one["event"] for one in events] == ["failed", "ended"]
    assert done.returncode == 2 and "--no-such-option" in events[0]["message"]


def test_progress_is_told_now_and_then_and_at_its_end():
    told, now = [], [0.0]
    events = Events(lambda *_, **fields: told.append(fields), pause_s=5.0, clock=lambda: now[0])
    for done in range(1, 12):
        events.advance("images", done, 11)
        now[0] += 1.0
    assert [fields["done"] for fields in told] == [1, 6, 11]
    for _ in range(2):
        events.note("once")
    assert [fields for fields in told if "message" in fields] == [{"message": "once"}]
