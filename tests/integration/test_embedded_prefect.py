"""The embedded Prefect server: shared by commands that overlap, stopped by the last, its history lasts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

SCRIPT = """
import sys
from flows.server import prefect_api
from flows.settings import Settings

with prefect_api(Settings.from_environment()) as url:
    from prefect import flow

    @flow(name=sys.argv[1])
    def hello():
        return 1

    hello()
    print(url, flush=True)
    sys.stdin.readline()
"""


def start(root: Path, name: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, name],
        env=environment | {"FOVEAL_HOME": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def flow_runs(url: str) -> set[str]:
    return {row["name"] for row in httpx.post(f"{url}/flows/filter", json={}, timeout=20).json()}


def test_overlapping_commands_share_one_server_that_ends_with_the_last_and_keeps_its_history(tmp_path):
    first, second = start(tmp_path, "first"), start(tmp_path, "second")
    urls = {first.stdout.readline().strip(), second.stdout.readline().strip()}
    assert len(urls) == 1
    url = urls.pop()
    server = psutil.Process(json.loads((tmp_path / "prefect" / "server.json").read_text())["pid"])
    first.communicate("\n", timeout=60)
    assert server.is_running()
    assert flow_runs(url) == {"first", "second"}
    second.communicate("\n", timeout=60)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE

    third = start(tmp_path, "third")
    assert flow_runs(third.stdout.readline().strip()) == {"first", "second", "third"}
    third.communicate("\n", timeout=60)


def test_a_command_that_is_killed_leaves_the_server_it_started_to_the_others(tmp_path):
    first = start(tmp_path, "first")
    url = first.stdout.readline().strip()
    second = start(tmp_path, "second")
    assert second.stdout.readline().strip() == url
    server = psutil.Process(json.loads((tmp_path / "prefect" / "server.json").read_text())["pid"])
    first.kill()
    first.communicate(timeout=60)
    third = start(tmp_path, "third")
    assert third.stdout.readline().strip() == url
    for process in (second, third):
        assert flow_runs(url) == {"first", "second", "third"}
        process.communicate("\n", timeout=60)
        assert process.returncode == 0
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


OUTAGE = """
import sys
from flows.commands.shared import running
from components.errors import UnavailableError

try:
    with running("a flow", True):
        from pathlib import Path
        from prefect import flow
        from flows.steps import step, workplace

        @step("count")
        def count(x: int) -> Path:
            with open(sys.argv[1], "a") as file:
                file.write("x")
            workplace().mkdir(parents=True)
            return workplace()

        @flow
        def outage():
            count(1)
            print("counted", flush=True)
            sys.stdin.readline()
            from prefect.artifacts import create_markdown_artifact
            create_markdown_artifact(key="k", markdown="m")

        outage()
except UnavailableError as error:
    sys.exit(str(error))
"""


def test_a_server_that_dies_amid_a_flow_is_one_clear_line_and_the_next_run_repeats_no_finished_step(tmp_path):
    counted = tmp_path / "counted"

    def begin():
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        process = subprocess.Popen(
            [sys.executable, "-c", OUTAGE, str(counted)],
            env=environment | {"FOVEAL_HOME": str(tmp_path / "home"), "PREFECT_CLIENT_MAX_RETRIES": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "counted\n", process.communicate()[1]
        return process

    doomed = begin()
    note = json.loads((tmp_path / "home" / "prefect" / "server.json").read_text())
    psutil.Process(note["pid"]).kill()
    _, told = doomed.communicate("\n", timeout=300)
    assert doomed.returncode == 1
    assert "expected Prefect's server to answer until the end" in told and "repeats nothing" in told
    assert "Traceback" not in told
    again = begin()
    _, told = again.communicate("\n", timeout=300)
    assert again.returncode == 0, told
    assert counted.read_text() == "x"


TOGETHER = """
import sys, time
from flows.server import prefect_api
from flows.settings import Settings

with prefect_api(Settings.from_environment()):
    from pathlib import Path
    from prefect import flow
    from flows.steps import step, workplace

    @step("slow", retries=1)
    def slow(x: int) -> Path:
        with open(sys.argv[1], "a") as file:
            file.write("x")
        time.sleep(2)
        workplace().mkdir(parents=True)
        return workplace()

    @flow
    def together():
        return slow(1)

    print(together(), flush=True)
"""


def test_of_processes_that_come_to_the_same_step_at_once_one_does_it_and_all_have_its_result(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "done")]
    environment |= {"FOVEAL_HOME": str(tmp_path / "home")}
    crowd = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {process.communicate(timeout=300)[0] for process in crowd}
    assert len(said) == 1 and Path(said.pop().strip()).is_dir()
    assert [process.returncode for process in crowd] == [0, 0, 0]
    assert (tmp_path / "done").read_text() == "x"
