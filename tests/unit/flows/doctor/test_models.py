"""What `foveal doctor` says of champions that a drift cannot retrain."""

from __future__ import annotations

from flows.doctor.finding import State
from flows.doctor.models import _of
from flows.tasks.readiness import Readiness


def test_a_champion_that_cannot_be_trained_further_is_a_warning_with_what_to_do():
    why = (
        "parts/3 was released from m.onnx; training goes on from a checkpoint (.pt) of Ultralytics"
    )
    (found,) = _of("parts", Readiness(released=True, untrainable=why))
    assert (found.name, found.state) == ("model parts", State.WARN)
    assert found.found == f"{why}: a drift fills the labelling queue, and retrains nothing"
    assert found.hint.startswith("release it from its checkpoint")


def test_a_champion_that_can_be_trained_and_a_model_without_one_are_no_finding():
    assert list(_of("parts", Readiness(released=True))) == []
    assert list(_of("parts", Readiness(released=False))) == []
