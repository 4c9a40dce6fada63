"""Help and tables on a terminal of 80 columns and on one with ASCII alone: nothing cut off."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HELP = """
import typer
from flows.cli.main import app

def walk(command, path):
    yield path
    for name, one in getattr(command, "commands", {}).items():
        yield from walk(one, (*path, name))

root = typer.main.get_command(app)
for path in walk(root, ()):
    print("help of", *path)
    root.main([*path, "--help"], prog_name="foveal", standalone_mode=False)
"""

TABLES = """
from dataclasses import replace
from pathlib import Path

from components.contracts import Gate, GateReport, ModelVersion, Verdict
from components.monitoring.drift.calibration import AlarmPower, AlarmRate
from flows.cli.screens import results as screen
from flows.cli.screens import versions
from flows.cli.screens.console import write
from flows.reporting.summary import Calibration, ReleaseSummary, VariantRow
from model_registry import Comparison, ModelSummary, TextPair
from tests.unit.flows.cli.test_ab_screen import A, B, DONE
from tests.unit.flows.tasks.test_gates import REPORT

LONG = "structured_pruning_then_int8_with_accuracy_control"
NAME = "bottle-caps-of-line-three-by-night-and-by-day"
rows = (
    VariantRow("fp32 · onnxruntime", 1234.56, 2345.67, None, 0.9123, 1234.56, False),
    VariantRow(f"{LONG} · openvino", 11.27, 12.04, (12.52, 12.17, 12.90), 0.8244, 61.83, True),
)
write(screen.variants(
    ReleaseSummary(
        NAME, 12, ("champion",), "map50_95", "workstation (measured on host)", rows, (), 0.18,
        "AMD EPYC, 2 cores", Path("/x"), Path("/x"), None, None,
    )
))
cut = Gate(
    f"class {NAME}", 0.81, 0.79, (-0.02, -0.05, 0.01), -0.05, None, 412, Verdict.NOT_EVALUATED,
    "why",
)
write(screen.gates(replace(REPORT, gates=(*REPORT.gates, cut))))
rate = AlarmRate(1000, 200, 0.015, 0.005, 0.0, 0.38)
write(screen.calibration(
    Calibration(f"{NAME}/12", 5000, 25, (rate, replace(rate, contiguous=True)), rate,
                (AlarmPower("brightness", 3, 0.1, 20, 0.5, 0.25, 2.0),
                 AlarmPower("jpeg", 5, 1.0, 20, 1, 1, None)), 200)
))
write(versions.models([ModelSummary(NAME, 12, {"champion": 11, "challenger": 12}, {})]))
arms = (replace(A, model=f"{NAME}/11"), replace(B, model=f"{NAME}/12"))
write(screen.ab(replace(DONE, arms=arms)))
write([versions.texts(
    "parameter that differs", [f"{NAME}/11 (champion)", f"{NAME}/12"],
    [
        TextPair(
            "data.labelled",
            "/srv/data/line3/2026-11/parts/data.yaml",
            "/srv/data/line3/2026-12/parts/data.yaml",
        ),
    ],
)])
"""


def said(script: str, **environment: str) -> str:
    script = f"from flows.cli.screens.console import print_plainly\nprint_plainly()\n{script}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"COLUMNS": "80"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wide(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > 80]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_help_of_every_command_fits(encoding):
    shown = said(HELP, PYTHONIOENCODING=encoding)
    assert shown.count("help of") > 25
    assert wide(shown) == [] and (encoding == "utf-8" or shown.isascii())


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_tables_fit_and_nothing_is_cut_off(encoding):
    shown = said(TABLES, PYTHONIOENCODING=encoding)
    reasons = ("  ", "bottle")  # begin lines that wrap where the terminal does
    assert (
        wide("\n".join(line for line in shown.splitlines() if not line.startswith(reasons))) == []
    )
    assert shown.count("…" if encoding == "utf-8" else "...") == 1, "of the calibration's own title"
    for number in ("1234.56", "2345.67", "12.52", "0.8244", "11.50", "not_evaluated"):
        assert number in shown, number
    assert encoding == "utf-8" or shown.isascii()
