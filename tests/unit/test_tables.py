"""One table for people and programs: the same cells on the console, in Markdown and as JSON."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from components.tables import Table, interval, markdown_text, number
from flows.cli.screens.console import write

TABLE = Table(("gate", "p95 ms"), [("golden | dark", 8.5), (Text("size", style="bold"), None)])


def test_every_form_has_the_same_cells():
    assert TABLE.to_markdown().splitlines() == [
        "| gate | p95 ms |",
        "| --- | --- |",
        r"| golden \| dark | 8.5 |",
        "| size | – |",
    ]
    assert TABLE.to_lines() == ["gate           p95 ms", "golden | dark  8.5", "size           –"]
    assert TABLE.to_json() == [
        {"gate": "golden | dark", "p95 ms": "8.5"},
        {"gate": "size", "p95 ms": "–"},
    ]
    shown = io.StringIO()
    write(["before", TABLE], Console(file=shown, width=40))
    assert [line.split() for line in shown.getvalue().splitlines() if "–" in line] == [
        ["size", "–"]
    ]


def test_numbers_stand_at_the_right_and_stay_whole_where_names_do_not():
    shown = io.StringIO()
    name = "structured_pruning_then_int8"
    write(
        [Table(("variant", "speed"), [(name, "1.25× [1.20, 1.31]")])], Console(file=shown, width=40)
    )
    said = shown.getvalue()
    assert "1.25× [1.20, 1.31]" in said and name not in said
    assert "".join(line[:20].strip() for line in said.splitlines()[-4:]).endswith(name)


def test_cells_of_a_console_are_no_markup():
    shown = io.StringIO()
    write(
        ["[bold] line", Table(("what",), [("more [cat] than [dog]",)])],
        Console(file=shown, width=40),
    )
    assert "[bold] line" in shown.getvalue() and "more [cat] than [dog]" in shown.getvalue()


@pytest.mark.parametrize(
    ("value", "form", "unit", "text"),
    [
        (None, ".2f", "×", "–"),
        ((1.25, 1.2, 1.314), ".2f", "×", "1.25× [1.20, 1.31]"),
        ((-0.003, -0.01, 0.004), "+.3f", "", "-0.003 [-0.010, +0.004]"),
        ((8.0, None, None), ".1f", "", "8.0"),
        ((None, None, None), ".1f", "", "–"),
    ],
)
def test_an_interval_has_the_digits_that_are_asked_for(value, form, unit, text):
    assert interval(value, form, unit) == text


def test_a_number_that_was_not_measured_is_a_dash():
    assert (number(None), number(2.0), number(0.5, 4)) == ("–", "2.00", "0.5000")


def test_text_in_markdown_begins_nothing():
    assert markdown_text("a | b\n# c <img>") == r"a \| b # c &lt;img>"
