"""What the Prefect UI shows of every flow: one line of description, and a title for each field."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

from flows.ab_test import ab_test
from flows.alert import alert
from flows.batch_inference import batch
from flows.gates import check_gates
from flows.monitor import monitor
from flows.nightly import nightly
from flows.promote import promotion
from flows.release import release
from flows.retrain import retrain

FLOWS = (ab_test, alert, batch, check_gates, monitor, nightly, promotion, release, retrain)
by_name = pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)


@by_name
def test_a_description_is_one_line_and_no_docstring(flow):
    assert flow.description
    assert "\n" not in flow.description and "Arguments:" not in flow.description


@by_name
def test_every_field_of_a_form_has_a_title_for_people(flow):
    schema = parameter_schema(flow.fn).model_dump()
    forms = [schema, *schema["definitions"].values()]
    untitled = [name for form in forms for name, field in fields(form) if not title(field, schema)]
    assert untitled == []
    assert [one["title"] for one in forms if one.get("title", "").endswith("Input")] == []


def fields(form: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(form.get("properties", {}).items())


def title(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """The title of a field, or that of the form that it refers to."""
    places = [field, *field.get("allOf", ()), *field.get("anyOf", ())]
    names = [one["$ref"].rpartition("/")[2] for one in places if "$ref" in one]
    return str(
        field.get("title") or next((schema["definitions"][name]["title"] for name in names), "")
    )
