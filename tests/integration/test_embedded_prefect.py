"""The embedded Prefect: shared by overlapping commands, stopped by the last, its history lasts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from flows.runtime.password import password, proof
from tests.conftest import COMMAND, clean_environment

SCRIPT = """
import sys
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()) as url:
    from prefect import flow

    @flow(name=sys.argv[1])
    def hello():
        return 1

    hello()
    print(url, flush=True)
    sys.stdin.readline()
"""


def start(root: Path, name: str, *, script: str = SCRIPT) -> subprocess.Popen[str]:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")
    }
    return subprocess.Popen(
        [sys.executable, "-c", script, name],
        env=environment | {"FOVEAL_HOME": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def flow_runs(url: str, root: Path) -> set[str]:
    headers = proof(password(root / "prefect"))
    return {
        row["name"]
        for row in httpx.post(f"{url}/flows/filter", json={}, headers=headers, timeout=120).json()
    }


def test_overlapping_commands_share_one_server_that_ends_with_the_last_and_keeps_its_history(
    tmp_path,
):
    first, second = start(tmp_path, "first"), start(tmp_path, "second")
    urls = {first.stdout.readline().strip(), second.stdout.readline().strip()}
    assert len(urls) == 1
    url = urls.pop()
    server = psutil.Process(json.loads((tmp_path / "prefect" / "server.json").read_text())["pid"])
    first.communicate("\n", timeout=300)
    assert server.is_running()
    assert flow_runs(url, tmp_path) == {"first", "second"}
    second.communicate("\n", timeout=300)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE

    third = start(tmp_path, "third")
    assert flow_runs(third.stdout.readline().strip(), tmp_path) == {"first", "second", "third"}
    third.communicate("\n", timeout=300)


def test_a_command_that_is_killed_leaves_the_server_it_started_to_the_others(tmp_path):
    first = start(tmp_path, "first")
    url = first.stdout.readline().strip()
    second = start(tmp_path, "second")
    assert second.stdout.readline().strip() == url
    server = psutil.Process(json.loads((tmp_path / "prefect" / "server.json").read_text())["pid"])
    first.kill()
    first.communicate(timeout=300)
    third = start(tmp_path, "third")
    assert third.stdout.readline().strip() == url
    for process in (second, third):
        assert flow_runs(url, tmp_path) == {"first", "second", "third"}
        process.communicate("\n", timeout=300)
        assert process.returncode == 0
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_sigterm_ends_the_server_that_a_command_started(tmp_path):
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")
    }
    process = subprocess.Popen(
        [COMMAND, "demo"],
        env=environment | {"FOVEAL_HOME": str(tmp_path / "home")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    note = tmp_path / "home" / "prefect" / "server.json"
    while not note.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    server = psutil.Process(json.loads(note.read_text())["pid"])
    process.terminate()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 143 and "stopped; finished steps are kept" in told, told
    psutil.wait_procs([server], timeout=60)
    assert not server.is_running() and not note.exists()


def test_a_server_that_hangs_is_ended_for_the_next_command_and_a_number_of_another_process_is_not(
    tmp_path,
):
    from flows.runtime import server

    home = tmp_path / "home" / "prefect"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as hung:
        note = home / "server.json"
        note.parent.mkdir(parents=True)
        there = {
            "pid": hung.pid,
            "created": psutil.Process(hung.pid).create_time(),
            "url": "http://127.0.0.1:9/api",
        }
        note.write_text(json.dumps(there | {"created": 1.0}))
        server.stop_server(home)
        assert hung.poll() is None and not note.exists()
        note.write_text(json.dumps(there))
        command = start(
            tmp_path / "home",
            "next",
            script=f"from flows.runtime import server\nserver.HUNG_S = 1.0\n{SCRIPT}",
        )
        assert hung.wait(timeout=300)
        assert command.stdout.readline().strip() not in ("", there["url"])
        command.communicate("\n", timeout=120)


OUTAGE = """
import sys
from flows.cli.shared import running
from components.errors import UnavailableError

try:
    with running("a flow", True):
        from pathlib import Path
        from prefect import flow
        from flows.tasks.steps import step, working_folder

        @step("count")
        def count(x: int) -> Path:
            with open(sys.argv[1], "a") as file:
                file.write("x")
            working_folder().mkdir(parents=True)
            return working_folder()

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


def test_a_server_that_hangs_amid_a_flow_ends_the_command_after_the_time_that_it_says(tmp_path):
    script = OUTAGE.replace(
        "import sys\n", "import sys\nfrom flows.runtime import server\nserver.HUNG_S = 4.0\n", 1
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "counted")],
        env=clean_environment(tmp_path / "home"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "counted\n", process.communicate()[1]
    server = psutil.Process(
        json.loads((tmp_path / "home" / "prefect" / "server.json").read_text())["pid"]
    )
    server.suspend()
    try:
        _, told = process.communicate("\n", timeout=300)
        said = re.search(r"found no answer from \S+ for (\d+) s; run the same command again", told)
        assert process.returncode == 1 and said, told
        assert int(said.group(1)) >= 4
    finally:
        server.kill()


def test_a_server_that_dies_amid_a_flow_is_one_clear_line_and_the_next_run_repeats_no_finished_step(
    tmp_path,
):
    counted = tmp_path / "counted"

    def begin():
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")
        }
        process = subprocess.Popen(
            [sys.executable, "-c", OUTAGE, str(counted)],
            env=environment
            | {"FOVEAL_HOME": str(tmp_path / "home"), "PREFECT_CLIENT_MAX_RETRIES": "1"},
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
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()):
    from pathlib import Path
    from prefect import flow
    from flows.tasks.steps import step, working_folder

    @step("slow", retries=1)
    def slow(x: int) -> Path:
        with open(sys.argv[1], "a") as file:
            file.write("x")
        time.sleep(2)
        working_folder().mkdir(parents=True, exist_ok=True)
        return working_folder()

    @flow
    def together():
        return slow(1)

    print(together(), flush=True)
"""


def test_of_processes_that_come_to_the_same_step_at_once_one_does_it_and_all_have_its_result(
    tmp_path,
):
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")
    }
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "done")]
    environment |= {"FOVEAL_HOME": str(tmp_path / "home")}
    crowd = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {process.communicate(timeout=300)[0] for process in crowd}
    assert len(said) == 1 and Path(said.pop().strip()).is_dir()
    assert [process.returncode for process in crowd] == [0, 0, 0]
    assert (tmp_path / "done").read_text() == "x"
    (record,) = (tmp_path / "home" / "prefect" / "results").iterdir()
    os.truncate(record, 0)  # a power cut: Prefect does not flush it
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "done").read_text() == "xx"
