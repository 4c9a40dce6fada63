"""Parameters of a retraining's data: a form in the Prefect UI, and refused by name where wrong."""

import pytest

from components.errors import ConfigError
from components.training import Selection
from flows.config.base import validate_config
from flows.config.retrain import RetrainDataInput


def test_what_is_not_said_is_what_the_component_does_by_itself():
    asked, usual = RetrainDataInput(), Selection()
    assert isinstance(asked, Selection)
    assert {name: getattr(asked, name) for name in Selection.model_fields} == usual.model_dump()
    assert RetrainDataInput().pseudo_share == 0


def test_every_field_says_what_it_is_and_has_its_place():
    fields = RetrainDataInput.model_json_schema()["properties"]
    assert [field["position"] for field in fields.values()] == list(range(len(fields)))
    assert all(field["description"] for field in fields.values())


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"pseudo_share": 0.8}, "pseudo_share"),
        ({"held_out": 0.1}, "held_out_share"),
        ({"minimum_labels": 0}, "minimum"),
    ],
)
def test_a_wrong_value_and_a_typo_are_named(values, named):
    with pytest.raises(ConfigError, match=named):
        validate_config(values, RetrainDataInput, source="a test")
