import asyncio
import warnings
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from components.contracts import ColumnDrift
from components.errors import UnavailableError
from components.monitoring import assess, build_reference, write_report
from components.monitoring.drift.tables import DriftTable
from components.monitoring.report.evidently_report import write_evidently
from components.monitoring.report.evidently_workspace import add_to_workspace

pytestmark = pytest.mark.slow

START = datetime(2026, 5, 1, 22, tzinfo=UTC)


def opened(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.ui.workspace import Workspace

        workspace = Workspace.create(str(path))
        return workspace, workspace.list_projects()


def drawn(path):
    """By panel of the dashboard, what Evidently's server draws: column and values of each line."""
    from evidently.ui.service.base import SeriesFilter
    from evidently.ui.service.storage.local.base import InMemoryDataStorage

    _, (project,) = opened(path)
    storage = InMemoryDataStorage(str(path))
    found = {}
    for panel in project.dashboard.model().panels:
        filters = [
            SeriesFilter(
                tags=[], metadata={}, metric=value.metric, metric_labels=value.metric_labels
            )
            for value in panel.values
        ]
        series = asyncio.run(storage.get_data_series(project.id, filters, None, None)).series
        found[panel.title] = [(one.params.get("column"), one.values) for one in series]
    return found


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """Evidently's run over one column."""
    tables = [
        DriftTable({"x": np.random.default_rng(k).normal(size=60)}, "digits/3", 2, 0)
        for k in (0, 1)
    ]
    html = tmp_path_factory.mktemp("evidently") / "page.html"
    return write_evidently(
        *tables, [ColumnDrift("x", 0.1, 0.2, 0.9, drifted=False)], html, at=START
    )[0]


def test_a_reported_window_is_a_run_of_its_models_project_at_its_own_time(
    tmp_path, write_run, ordinary
):
    reference = build_reference(write_run(ordinary(200, seed=1)), tmp_path / "reference.parquet")
    run = write_run(
        ordinary(60, seed=2, predicted_at=[START + timedelta(seconds=k) for k in range(60)])
    )
    path = tmp_path / "deep" / "workspace"
    write_report(run, reference, assess(run, reference), tmp_path / "report", workspace=path)
    workspace, (project,) = opened(path)
    assert project.name == "digits"
    assert [panel.title for panel in project.dashboard.model().panels] == [
        "Share of columns that drifted",
        "Distance of each column as a share of its limit",
        "Missing values in a window",
    ]
    (found,) = [workspace.get_run(project.id, key) for key in workspace.list_runs(project.id)]
    assert found.timestamp == datetime(2026, 5, 1, 22, 0, 59)
    assert found.tags == ["3", "ok"]
    assert [entry.name for entry in path.parent.iterdir()] == ["workspace"]


def test_a_window_that_is_reported_again_replaces_its_run(tmp_path, snapshot):
    for window in ("monday", "tuesday", "monday"):
        add_to_workspace(tmp_path, "digits", window, snapshot, ["x"])
    add_to_workspace(tmp_path, "letters", "monday", snapshot, ["x"])
    workspace, projects = opened(tmp_path)
    assert {project.name: len(workspace.list_runs(project.id)) for project in projects} == {
        "digits": 2,
        "letters": 1,
    }


def test_each_column_is_one_line_whatever_its_limit_and_its_rank_were_in_each_window(
    tmp_path, write_run, ordinary
):
    reference = build_reference(write_run(ordinary(200, seed=1)), tmp_path / "reference.parquet")
    for night, count in enumerate((60, 90, 140)):
        moved = {"red": np.full(count, 20.0)} if night % 2 else {"blue": np.full(count, 30.0)}
        at = [START + timedelta(days=night, seconds=k) for k in range(count)]
        run = write_run(ordinary(count, seed=night, predicted_at=at, **moved))
        write_report(
            run,
            reference,
            assess(run, reference),
            tmp_path / "report",
            workspace=tmp_path / "workspace",
        )
    for title, lines in drawn(tmp_path / "workspace").items():
        expected = sorted(ordinary(1)) if title.startswith("Distance") else [None]
        assert [column for column, _ in lines] == expected, title
        assert all(len(values) == 3 and None not in values for _, values in lines), title


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
