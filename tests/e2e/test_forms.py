"""Batch inference and promotion as flows, with their forms' parameters, over a real release."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pyarrow.parquet
import pytest

from flows.runtime.password import password, proof
from tests.conftest import clean_environment

SCRIPT = """
import json
import sys

from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()):
    from flows.batch_inference import batch
    from flows.config.batch_inference import BatchConfig
    from flows.config.promote import PromotionConfig
    from flows.promote import promotion

    run = batch(BatchConfig(model="digits", images=sys.argv[1]))
    champion = promotion(PromotionConfig(name="digits", version="champion", reason="it is a test"))

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import LogSort
    from prefect.logging.handlers import APILogWorker

    from components.errors import NotRegisteredError
    from flows.config.monitor import NightlyConfig
    from flows.nightly import nightly

    try:
        nightly(NightlyConfig(name="nobody", images=sys.argv[1]))
    except NotRegisteredError as error:
        refused = str(error)
    with get_client(sync_client=True) as client:
        runs = {one.name: [one.state.name, one.state.message] for one in client.read_flow_runs()}
        APILogWorker.drain_all(timeout=60, at_exit=False)
        logs = [log.message for log in client.read_logs(sort=LogSort.TIMESTAMP_DESC)]
    print(
        json.dumps(
            {
                "images": str(run.images), "champion": champion.version, "refused": refused,
                "runs": runs, "logs": logs,
            }
        )
    )
"""


@pytest.fixture(scope="module")
def said(released):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, released.data / "images" / "golden"],
        env=clean_environment(released.root),
        cwd=released.root.parent,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def artifacts(released, key: str) -> str:
    url = json.loads((released.root / "prefect" / "server.json").read_text())["url"]
    headers = proof(password(released.root / "prefect"))
    wanted = {"artifacts": {"key": {"any_": [key]}}}
    found = httpx.post(f"{url}/artifacts/filter", json=wanted, headers=headers, timeout=120).json()
    return "\n".join(one["data"] for one in found)


def test_batch_inference_writes_one_row_per_image_and_says_where(said, released):
    assert pyarrow.parquet.read_table(said["images"]).num_rows == 6
    assert said["images"].startswith(str(released.root / "predictions"))
    assert said["images"] in artifacts(released, "batch-inference")


def test_promotion_of_the_champion_keeps_it_and_shows_the_record(said, released):
    assert said["champion"] == 1
    assert "digits: champion is version 1" in artifacts(released, "champion")
    assert "promote: verified" in artifacts(released, "champion")


def test_runs_and_their_final_states_are_named_by_their_outcome(said):
    runs = said["runs"]
    assert runs["digits/1: predicted"] == ["predicted", "6 images, 0 unreadable"]
    said_why = "version 1 is the champion; it is a test"
    assert runs["digits: promoted"] == ["promoted", said_why]
    state, message = runs["digits: champion"]
    assert state == "champion" and message.startswith("version 1 ships ")


def test_a_model_without_a_version_fails_under_a_name_that_is_no_alert_and_in_one_line(said):
    assert "release it first" in said["refused"]
    assert said["runs"]["nobody"] == ["not released yet", said["refused"]]
    assert not [line for line in said["logs"] if "Traceback" in line]
    assert any("no model of that name" in line for line in said["logs"])
