import warnings
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from components.contracts import ColumnDrift
from components.errors import UnavailableError
from components.monitoring import assess, build_reference, write_report
from components.monitoring.evidently_report import write_evidently
from components.monitoring.evidently_workspace import add_to_workspace
from components.monitoring.tables import DriftTable

START = datetime(2026, 5, 1, 22, tzinfo=UTC)


def opened(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.ui.workspace import Workspace

        workspace = Workspace.create(str(path))
        return workspace, workspace.list_projects()


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """Evidently's run over one column."""
    tables = [DriftTable({"x": np.random.default_rng(k).normal(size=60)}, "digits/3", 2, 0) for k in (0, 1)]
    html = tmp_path_factory.mktemp("evidently") / "page.html"
    return write_evidently(*tables, [ColumnDrift("x", 0.1, 0.2, 0.9, drifted=False)], html, at=START)[0]


def test_a_reported_window_is_a_run_of_its_models_project_at_its_own_time(tmp_path, write_run, ordinary):
    reference = build_reference(write_run(ordinary(200, seed=1)), tmp_path / "reference.parquet")
    run = write_run(ordinary(60, seed=2, predicted_at=[START + timedelta(seconds=k) for k in range(60)]))
    path = tmp_path / "deep" / "workspace"
    write_report(run, reference, assess(run, reference), tmp_path / "report", workspace=path)
    workspace, (project,) = opened(path)
    assert project.name == "digits"
    assert [panel.title for panel in project.dashboard.model().panels] == [
        "Share of columns that drifted", "Distance of each column", "Share of values that are missing"
    ]  # fmt: skip
    (found,) = [workspace.get_run(project.id, key) for key in workspace.list_runs(project.id)]
    assert found.timestamp == datetime(2026, 5, 1, 22, 0, 59)
    assert found.tags == ["3", "ok"]
    assert [entry.name for entry in path.parent.iterdir()] == ["workspace"]


def test_a_window_that_is_reported_again_replaces_its_run(tmp_path, snapshot):
    for window in ("monday", "tuesday", "monday"):
        add_to_workspace(tmp_path, "digits", window, snapshot, ["x"])
    add_to_workspace(tmp_path, "letters", "monday", snapshot, ["x"])
    workspace, projects = opened(tmp_path)
    assert {project.name: len(workspace.list_runs(project.id)) for project in projects} == {"digits": 2, "letters": 1}


def test_a_dashboard_that_its_owner_changed_stays_so(tmp_path, snapshot):
    add_to_workspace(tmp_path, "digits", "monday", snapshot, ["x"])
    opened(tmp_path)[1][0].dashboard.delete_tab("Drift")
    add_to_workspace(tmp_path, "digits", "tuesday", snapshot, ["x"])
    assert opened(tmp_path)[1][0].dashboard.model().tabs == []


def test_a_workspace_that_cannot_be_written_is_told(tmp_path, snapshot):
    (tmp_path / "workspace").write_text("a file")
    with pytest.raises(UnavailableError, match="workspace folder"):
        add_to_workspace(tmp_path / "workspace", "digits", "monday", snapshot, ["x"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["workspace"]
