"""A batch over an attacker's folder: every file has its right row, within bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.hostile import write_hostile_folder

pytestmark = pytest.mark.slow

MAX_MB = 1500
RUN = """
import json, sys
from pathlib import Path
from components.backends import describe_onnx
from components.benchmark.worker import peak_rss_mb
from components.images.sources import list_images
from components.contracts import Variant
from components.inference import BatchSettings, run_batch

folder, model, output = map(Path, sys.argv[1:])
settings = BatchSettings(threads=1, decode_threads=2)
model = Variant("colours/1", describe_onnx(model), "onnxruntime")
run = run_batch(list_images(folder), model, output, settings=settings)
told = {"processed": run.processed, "failed": len(run.failures), "peak_mb": peak_rss_mb()}
print(json.dumps(told))
"""


def test_each_file_of_a_hostile_folder_has_the_row_that_it_should(
    detector: Any, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="foveal-") as short:
        # a socket's path has at most 107 bytes
        known = write_hostile_folder(Path(short) / "shots", huge=("png", "jpeg"))
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                RUN,
                str(Path(short) / "shots"),
                str(detector.path),
                str(tmp_path / "out"),
            ],
            capture_output=True,
            text=True,
            timeout=500,
            cwd=Path(__file__).parents[3],
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rows = {
        row["image_id"]: row
        for row in pq.read_table(tmp_path / "out" / "images.parquet").to_pylist()
    }
    assert rows.keys() == {file.image_id for file in known}
    wrong = [(file, row["error"]) for file in known if not _right(file, row := rows[file.image_id])]
    assert wrong == []
    assert (said["processed"], said["failed"]) == (
        sum(file.ok for file in known),
        sum(not file.ok for file in known),
    )
    assert said["peak_mb"] < MAX_MB
    assert not [
        text
        for row in rows.values()
        for text in (row["image_id"], row["uri"])
        if not _one_line(text)
    ]


def _right(file: Any, row: dict[str, Any]) -> bool:
    return (row["status"] == "ok") is file.ok and file.words in (row["error"] or "")


def _one_line(text: str) -> bool:
    return not any(ord(character) < 32 or character in "\x7f\u2028\u2029" for character in text)
