"""Which steps' results are taken again: finished ones, unless unsure or all is to be done anew."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.conftest import clean_environment

SCRIPT = """
import json
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()):
    from prefect import flow
    from components.contracts import Budget
    from flows.reporting.progress import reading
    from flows.tasks.steps import refreshing, step, working_folder

    noise, left = [0.5, 0.5, 0.1, 0.1, 0.1], []

    @step("measure", sure=lambda budget: budget.p95_ms < 0.3)
    def measure(model):
        working_folder().mkdir(parents=True, exist_ok=True)
        left.append(sorted(path.name for path in working_folder().iterdir()))
        (working_folder() / "kept").write_text(model)
        return Budget(p95_ms=noise.pop(0))

    @flow(name="measuring")
    def look(model):
        return measure(model).p95_ms

    taken = [look("digits") for _ in range(4)]
    with refreshing():
        taken.append(look("digits"))
    taken.append(look("digits"))

    @step("export")
    def export(model):
        working_folder().mkdir(parents=True, exist_ok=True)
        return Budget(p95_ms=1.0)

    @flow(name="exporting")
    def both(model, whole):
        measure(model)
        if whole:
            export(model)

    told = []
    with reading(told.append):
        for whole in (False, True, True):
            both("digits", whole)
    print(json.dumps({"taken": taken, "left": left, "over": noise, "told": told}))
"""


def test_noise_is_measured_again_and_a_refreshed_step_begins_with_an_empty_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=clean_environment(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["taken"] == [0.5, 0.5, 0.1, 0.1, 0.1, 0.1], "two were noise, the third was kept"
    assert said["over"] == [0.1], "four were measured: two of noise, one that was kept, one afresh"
    assert said["left"] == [[], [], [], []]
    assert said["told"] == ["measure: finished before; goes on with export"], (
        "where a flow went on, once"
    )
