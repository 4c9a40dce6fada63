"""How a retraining is prepared for the machine that it runs on."""

from __future__ import annotations

from components.training import training_device
from flows.config.retrain import RetrainConfig
from flows.tasks.retrain import on_this_machine


def test_a_retraining_names_the_device_that_it_takes_and_leaves_what_a_form_says():
    unset, named = (
        RetrainConfig(name="parts"),
        RetrainConfig(name="parts", training={"device": "cuda:7"}),
    )
    assert unset.training.device == "auto"
    assert on_this_machine(unset).training.device == training_device("auto") != "auto"
    assert on_this_machine(named) == named
