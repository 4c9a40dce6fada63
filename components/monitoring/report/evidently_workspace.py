"""Access to Evidently's workspace, which shows over time what its single reports say."""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components import telemetry
from components.errors import UnavailableError
from components.files import flush, flush_folder, make_folder

if TYPE_CHECKING:
    from evidently.core.report import Snapshot
    from evidently.sdk.models import DashboardPanelPlot

# of the names that Foveal gives in a workspace
_NAMESPACE = uuid.UUID("6f0f1f8e-3f0f-5b0c-9a51-0d6f5c1f7a10")


def add_to_workspace(
    workspace: Path, model: str, window: str, snapshot: Snapshot, columns: Sequence[str]
) -> None:
    """Add a window's report to its model's project: `evidently ui --workspace …` shows it.

    Both have ids that follow from their names, so a model has one project, and a window that is
    reported again replaces its run. Evidently writes into a workspace of its own aside, whose files
    are then moved: a reader sees whole files, and writers do not disturb each other. A project's
    dashboard is made once and is its owner's then.

    Arguments:
        workspace: a folder on this machine; made when it is not there.
        model: name of the model without its version.
        window: names the window, and stays the same when it is reported again.
        snapshot: Evidently's run.
        columns: whose distances the dashboard shows.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    project = uuid.uuid5(_NAMESPACE, model)
    run = uuid.uuid5(project, window)
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".evidently-", dir=workspace.parent) as aside,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            _write(Path(aside), project, model, run, snapshot, columns)
            _move(Path(aside), workspace, project)
    except OSError as error:
        raise UnavailableError(
            "a workspace folder that can be written",
            found=f"{workspace}: {error}",
            hint="choose another folder",
        ) from error


def _write(
    aside: Path,
    project: uuid.UUID,
    model: str,
    run: uuid.UUID,
    snapshot: Snapshot,
    columns: Sequence[str],
) -> None:
    telemetry.switch_off()
    from evidently.sdk.models import ProjectModel
    from evidently.ui.storage.local.base import SNAPSHOTS_DIR_NAME
    from evidently.ui.workspace import Workspace

    workspace = Workspace.create(str(aside))
    made = workspace.add_project(ProjectModel(id=project, name=model))
    for panel in _panels(columns):
        made.dashboard.add_panel(panel, tab="Drift")
    # as Evidently's own `add_run` does it, but with an id of ours, and at a fifth of its time
    folder = aside / str(project) / SNAPSHOTS_DIR_NAME
    folder.mkdir()
    (folder / f"{run}.json").write_text(snapshot.dumps(), encoding="utf-8")


def _move(aside: Path, workspace: Path, project: uuid.UUID) -> None:
    """The run last, so that it never stands without its project."""
    files = [path for path in (aside / str(project)).rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: len(path.parts)):
        target = workspace / path.relative_to(aside)
        if target.parent.name == str(project) and target.exists():
            continue
        make_folder(target.parent)
        flush(path)
        os.replace(path, target)
        flush_folder(target.parent)


def _panels(columns: Sequence[str]) -> list[DashboardPanelPlot]:
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel

    share = PanelMetric(
        legend="share", metric="DriftedColumnsCount", metric_labels={"value_type": "share"}
    )
    missing = PanelMetric(
        legend="count", metric="DatasetMissingValueCount", metric_labels={"value_type": "count"}
    )
    distances = [
        PanelMetric(legend=column, metric="ValueDrift", metric_labels={"column": column})
        for column in columns
    ]
    return [
        line_plot_panel("Share of columns that drifted", [share]),
        line_plot_panel("Distance of each column as a share of its limit", distances),
        line_plot_panel("Missing values in a window", [missing]),
    ]
