"""Batch inference and promotion as flows, with the parameters of their forms, over a real release."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pyarrow.parquet
import pytest

from tests.conftest import clean_environment

SCRIPT = """
import json
import sys

from flows.server import prefect_api
from flows.settings import Settings

with prefect_api(Settings.from_environment()):
    from flows.batch import batch
    from flows.config_batch import BatchConfig
    from flows.config_promotion import PromotionConfig
    from flows.promotion import promotion

    run = batch(BatchConfig(model="digits", images=sys.argv[1]))
    champion = promotion(PromotionConfig(name="digits", version="champion", reason="it is a test"))
    print(json.dumps({"images": str(run.images), "champion": champion.version}))
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
    found = httpx.post(f"{url}/artifacts/filter", json={"artifacts": {"key": {"any_": [key]}}}, timeout=30).json()
    return "\n".join(one["data"] for one in found)


def test_batch_inference_writes_one_row_per_image_and_says_where(said, released):
    assert pyarrow.parquet.read_table(said["images"]).num_rows == 6
    assert said["images"].startswith(str(released.root / "predictions"))
    assert said["images"] in artifacts(released, "batch-inference")


def test_promotion_of_the_champion_keeps_it_and_shows_the_record(said, released):
    assert said["champion"] == 1
    assert "digits: champion is version 1" in artifacts(released, "champion")
    assert "promote: verified" in artifacts(released, "champion")
