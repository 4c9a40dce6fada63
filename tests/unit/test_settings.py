"""Settings of components: refused by name, by themselves and within a form."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from components.errors import ConfigError
from components.settings import ComponentSettings, Parameters


class Limits(ComponentSettings):
    """Limits of a component."""

    share: float = Field(0.5, gt=0, lt=1)


class Form(Parameters):
    """A form with a component's limits."""

    limits: Limits = Field(default_factory=Limits)


@pytest.mark.parametrize(
    ("values", "named"),
    [({"share": 2}, "share: .*less than 1, got 2"), ({"shares": 0.1}, "did you mean share")],
)
def test_settings_on_their_own_are_refused_by_name(values, named):
    with pytest.raises(ConfigError, match=named):
        Limits(**values)


def test_settings_within_a_form_are_problems_of_the_form_at_their_place():
    with pytest.raises(ValidationError) as raised:
        Form.model_validate({"limits": {"share": 2}})
    assert raised.value.errors()[0]["loc"] == ("limits", "share")


def test_settings_of_a_form_are_those_of_the_component():
    assert Form.model_validate({"limits": {"share": 0.1}}).limits == Limits(share=0.1)
    limits = Form.model_json_schema()["$defs"]["Limits"]["properties"]["share"]
    assert (limits["title"], limits["position"]) == ("Share", 0)
