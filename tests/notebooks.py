"""Run a notebook over a storage root; keep what it shows, if `KEEP_OUTPUTS` is set."""

from __future__ import annotations

import getpass
import io
import os
import re
import socket
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
WIDEST = 900  # pixels
COLORS = 128
SOMEBODY = "ada@lab"


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
