"""The notebooks run from top to bottom over real releases, as they do for a user after `make demo`.

With `KEEP_OUTPUTS` in the environment, as `make notebooks` sets it, what they show is kept in the
repository.
"""

from __future__ import annotations

import getpass
import io
import os
import re
import shutil
import socket
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from components.contracts import Gate, GateReport, Verdict
from model_registry import CHAMPION, Rationale, Registry, sqlite_uri

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
WIDEST = 900  # pixels
COLORS = 128
SOMEBODY = "ada@lab"

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def run(name: str, where: Path, monkeypatch: pytest.MonkeyPatch, **parameters: str | Path) -> str:
    """Execute a notebook over the storage root `where`; return its cells' text output."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("FOVEAL_HOME", str(where))
    for key, value in parameters.items():
        monkeypatch.setenv(f"NOTEBOOK_{key.upper()}", str(value))
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": str(where.parent)}}
    ).execute()
    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs), "no figure"
    if os.environ.get("KEEP_OUTPUTS"):
        keep(notebook, NOTEBOOKS / f"{name}.ipynb", where.parent)
    return "\n".join(
        output.get("text") or output["data"].get("text/plain", "") for output in outputs
    )


def keep(notebook: Any, file: Path, folder: Path) -> None:
    """Write a notebook with its outputs: small pictures, without times or this machine's places."""
    import nbformat

    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "text" in output:
                output.text = placeless(output.text, folder)
            data = output.get("data", {})
            data.update(
                {
                    kind: placeless(text, folder)
                    for kind, text in data.items()
                    if kind.startswith("text/")
                }
            )
            if "image/png" in data:
                data["image/png"] = reduced(data["image/png"])
    nbformat.write(notebook, file)


def placeless(text: str, folder: Path) -> str:
    """Return text that names files below the working directory or by name alone, and no user."""
    text = text.replace(f"{folder}/", "").replace(
        f"{getpass.getuser()}@{socket.gethostname()}", SOMEBODY
    )
    return re.sub(r"(?:file://)?/(?:tmp|var|work|home|root)/[\w./-]*/", "", text)


def reduced(picture: str) -> str:
    """A PNG, coded in base64, in as many pixels and colours as a page needs."""
    image = Image.open(io.BytesIO(b64decode(picture))).convert("RGB")
    image.thumbnail((WIDEST, WIDEST))
    aside = io.BytesIO()
    image.quantize(COLORS).save(aside, "PNG", optimize=True)
    return b64encode(aside.getvalue()).decode()


def test_a_model_of_ones_own_becomes_a_version_and_predicts(released, monkeypatch):
    said = run("bring_your_own_model", released.root, monkeypatch, config=released.config)
    assert "'digits/1 (champion)" in said, "the finished steps of the release were used"
    assert "80 images, 0 failures" in said


def test_the_benchmark_is_read_as_it_was_measured(released, monkeypatch):
    said = run("read_the_benchmark", released.root, monkeypatch)
    chosen = next(row["variant"] for row in released.said["variants"] if row["chosen"])
    assert f"digits for target workstation: {chosen} ships" in said
    assert all(reason in said for reason in released.said["reasons"])


def test_an_alarm_is_explained_down_to_what_to_label(released, monkeypatch, tmp_path):
    shots = shutil.copytree(
        released.data / "images" / "night", tmp_path / "night", copy_function=shutil.copyfile
    )
    # predicted anew: the latest alarm
    night = released.foveal("monitor", "digits", "--images", shots, "--json")
    assert night.returncode == 0, night.stderr
    said = run(
        "investigate_a_drift_alarm", released.root, monkeypatch, labels=released.data / "data.yaml"
    )
    assert "UTC: drift" in said and "brightness moved by" in said
    assert "80 images of the window have labels, 0 have none" in said
    assert "uncertainty" in said and "because" in said


def test_two_versions_are_compared_on_the_same_images(released_classifier, monkeypatch):
    """Two versions of one name, from another's finished steps: only their golden sets differ."""
    home = released_classifier.config.parent
    for golden_images in (4, 5):
        config = home / f"compared-{golden_images}.yaml"
        text = released_classifier.config.read_text().replace("name: crops", "name: compared")
        config.write_text(text.replace("images: crops/day", f"golden_images: {golden_images}"))
        done = released_classifier.foveal("release", config, "--json")
        assert done.returncode == 0, done.stderr
    registry = Registry(sqlite_uri(released_classifier.root / "mlflow" / "mlflow.db"))
    champion = registry.get(
        "compared", CHAMPION
    ).version  # whether the second one was promoted, its times decide
    other = 3 - champion
    golden = Gate(
        "golden",
        0.8,
        0.8,
        (0.0, -0.01, 0.01),
        -0.02,
        0.01,
        50,
        Verdict.PASS,
        "not worse by the margin",
    )
    gates = GateReport(f"compared/{champion}", f"compared/{other}", (golden,))
    registry.promote("compared", other, Rationale(trigger="drift", gates=gates))
    said = run(
        "compare_two_versions",
        released_classifier.root,
        monkeypatch,
        model="compared",
        labels=released_classifier.data,
        split="val",
    )
    assert "top-1: " in said and "B − A = +0.0000" in said
    assert "compare-model-versions?name=%22compared%22" in said
    assert "bundle" in said, "the hashes that differ"
    assert "not worse by the margin" in said, "the gates of the last decision"
