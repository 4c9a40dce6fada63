"""The notebooks run from top to bottom over a real release."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_over_a_real_release(released, monkeypatch, path):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("FOVEAL_HOME", str(released.root))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(released.root.parent)}}).execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert not any(cell.outputs for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
