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
