"""The gates as a step: what is given to them, what survives, and what people read."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from components.contracts import Gate, GateReport, Verdict
from components.errors import ConfigError
from components.evaluation import GatePolicy
from flows.cli.screens import results as screen
from flows.cli.screens.console import write
from flows.config.base import validate_config
from flows.config.gates import GatesConfig
from flows.reporting.evidence import gates_page
from flows.tasks.gates import is_settled, thirds
from flows.tasks.steps import ContractSerializer, step_key

REPORT = GateReport(
    "digits/1",
    "digits/2",
    (
        Gate(
            "golden",
            0.812,
            0.809,
            (-0.003, -0.01, 0.004),
            -0.02,
            0.008,
            200,
            Verdict.PASS,
            "as good",
        ),
        Gate(
            "class 4",
            None,
            None,
            None,
            -0.05,
            None,
            12,
            Verdict.NOT_EVALUATED,
            "12 objects",
            required=False,
        ),
        Gate("p95_ms", 10.0, 21.0, (2.1, 2.0, 2.2), 1.15, None, 200, Verdict.FAIL, "twice as slow"),
        Gate("size_mb", 6.0, 6.0, (1.0, 1.0, 1.0), 1.25, None, 0, Verdict.PASS, "as large"),
    ),
)


def test_a_report_survives_in_the_cache_of_steps():
    serializer = ContractSerializer()
    assert serializer.loads(serializer.dumps(REPORT)) == REPORT


@pytest.mark.parametrize(
    ("verdict", "noise", "kept"),
    [
        (Verdict.PASS, None, True),
        (Verdict.FAIL, None, True),
        (Verdict.UNDECIDED, None, False),
        (Verdict.PASS, 0.8, False),
        (Verdict.UNDECIDED, 0.8, False),
        (Verdict.NOT_EVALUATED, None, False),
    ],
)
def test_what_a_busy_machine_measured_is_never_a_finished_step(verdict, noise, kept):
    times = Gate("p95_ms", 10.0, 12.0, (1.2, 1.0, 1.3), 1.1, None, 200, verdict, "", noise=noise)
    assert is_settled(replace(REPORT, gates=(REPORT.gates[0], times))) is kept


def test_the_screen_and_the_page_show_every_gate_and_what_held_it_back():
    shown = io.StringIO()
    write(screen.gates(REPORT), Console(file=shown, width=120))
    for text in (shown.getvalue(), gates_page(REPORT)):
        assert "digits/2 against digits/1: not passed" in text
        assert "-0.003 [-0.010, +0.004]" in text
        assert "2.10× [2.00, 2.20]" in text
        assert "not_evaluated (not required)" in text
        assert "p95_ms: fail, twice as slow" in text


def test_limits_of_the_form_are_those_of_the_policy():
    values = {"name": "digits", "data": "x"}
    assert validate_config(values, GatesConfig, source="here").gates == GatePolicy()
    without = validate_config({**values, "gates": {"margin": None}}, GatesConfig, source="here")
    assert without.gates == GatePolicy(margin=None)


def test_the_form_describes_every_field():
    for kind in (GatePolicy, GatesConfig):
        for name, body in kind.model_json_schema()["properties"].items():
            assert "description" in body or "$ref" in body, name


@pytest.mark.parametrize(
    "values",
    [
        {"gates": {"slices": ["colour"]}},
        {"gates": {"margin": 0}},
        {"name": "a/b"},
        {"goldensplit": "x"},
    ],
)
def test_wrong_parameters_are_named(values):
    with pytest.raises(ConfigError):
        validate_config({"name": "digits", "data": "x", **values}, GatesConfig, source="here")


@pytest.mark.parametrize(
    ("values", "recent"),
    [
        ({}, None),
        ({"recent_split": "night"}, (Path("a/data.yaml"), "night")),
        ({"recent_data": "b/data.yaml"}, (Path("b/data.yaml"), "val")),
    ],
)
def test_recent_images_are_taken_where_they_were_named(values, recent):
    config = validate_config(
        {"name": "d", "data": "a/data.yaml", **values}, GatesConfig, source="here"
    )
    assert config.recent == recent


def test_the_key_of_the_step_follows_every_limit():
    keys = {
        step_key("gates", {"settings": GatePolicy(margin=margin)})
        for margin in (None, 0.01, 0.02, 0.02)
    }
    assert len(keys) == 3


def test_thirds_divide_all_images_and_keep_equal_ones_together():
    slices = thirds("brightness", np.array([1.0, 2, 3, 4, 5, 6]))
    assert [int(mask.sum()) for mask in slices.values()] == [2, 2, 2]
    assert np.sum(list(slices.values()), axis=0).tolist() == [1] * 6
    assert [int(mask.sum()) for mask in thirds("width", np.full(9, 320.0)).values()] == [9]
