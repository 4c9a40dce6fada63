import subprocess
import sys

import pytest

from components.contracts import Decision, Gate, GateReport, ModelVersion, Outcome, Verdict
from flows.config.retrain import RetrainConfig
from flows.reporting.retraining import RetrainSummary
from flows.tasks import retrain as attempts

pytestmark = pytest.mark.slow

CHAMPION = ModelVersion("digits", 1, "run")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path))
    monkeypatch.delenv("FOVEAL_STORE", raising=False)
    return tmp_path


def asked(event: str = "", trigger: str = "drift", hours: float = 24) -> RetrainConfig:
    return RetrainConfig(name="digits", trigger=trigger, event=event, cooldown_hours=hours)


def ended(state: str) -> RetrainSummary:
    return RetrainSummary("digits", state, "because", champion=1, challenger=2)


def test_one_retraining_of_a_model_is_in_flight():
    with attempts.in_flight("digits") as first, attempts.in_flight("digits") as second:
        assert (first, second) == (True, False)
        with attempts.in_flight("letters") as other:
            assert other
    with attempts.in_flight("digits") as again:
        assert again


def test_a_killed_retraining_is_no_longer_in_flight():
    script = (
        "import os\nfrom flows.tasks import retrain as "
        "attempts\nattempts.in_flight('digits').__enter__()\nos._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    with attempts.in_flight("digits") as mine:
        assert mine


def test_an_event_is_answered_with_what_came_of_it():
    attempts.remember(asked("night 1"), CHAMPION, ended("promoted"))
    known = attempts.known_answer(asked("night 1"))
    assert known is not None and known.repeated
    assert (known.state, known.challenger) == ("promoted", 2)
    assert attempts.known_answer(asked("")) is None


def test_rejected_challengers_make_automatic_retraining_wait_and_people_need_not():
    assert attempts.cooling_down(asked("night 1")) == ""
    attempts.remember(asked("night 1"), CHAMPION, ended("rejected"))
    assert "the last challenger was rejected" in attempts.cooling_down(asked("night 2"))
    assert attempts.cooling_down(asked("night 2", trigger="by hand")) == ""
    assert attempts.cooling_down(asked("night 2", hours=0)) == ""
    attempts.remember(asked("night 3"), CHAMPION, ended("promoted"))
    assert attempts.cooling_down(asked("night 4")) == ""


def test_a_retraining_that_lacked_labels_is_kept_but_nobody_waits_for_it():
    config = asked("night 1")
    summary = RetrainSummary.needs_labels(config, 30, 130, 12)
    attempts.remember(config, CHAMPION, summary)
    assert "30 new labelled images, 130 are missing; 12 wait" in summary.reason
    assert attempts.cooling_down(asked("night 2")) == ""


def test_an_event_that_lacked_labels_is_taken_up_when_they_have_come():
    config = asked("night 1")
    attempts.remember(config, CHAMPION, RetrainSummary.needs_labels(config, 30, 130, 12))
    assert attempts.known_answer(config) is None
    attempts.remember(config, CHAMPION, ended("rejected"))
    known = attempts.known_answer(config)
    assert known is not None and known.state == "rejected"


def test_a_retraining_that_a_busy_machine_left_undecided_is_no_rejection_and_its_event_stays_open():
    config = asked("night 1")
    times = Gate(
        "p95_ms",
        10,
        17,
        (1.7, 1.5, 1.9),
        1.1,
        None,
        200,
        Verdict.UNDECIDED,
        "busy machine",
        noise=0.8,
    )
    report = GateReport("digits/1", "digits/2", (times,))
    done = RetrainSummary.undecided(config, CHAMPION, 2, None, report)
    attempts.remember(config, CHAMPION, done)
    assert done.reason.startswith("p95_ms: undecided, busy machine; nothing was decided")
    assert (attempts.known_answer(config), attempts.cooling_down(asked("night 2"))) == (None, "")


@pytest.mark.parametrize(
    ("trigger", "new", "recent", "missing"),
    [
        ("drift", 160, None, 0),
        ("drift", 100, None, 60),
        ("drift", 160, 22, 32),
        ("accuracy", 300, 29, 4),
        ("by hand", 160, 5, 0),
        ("drift", 400, 90, 0),
    ],
)
def test_labels_must_be_enough_to_learn_from_and_where_they_are_the_cause_to_judge_by(
    trigger, new, recent, missing
):
    assert asked(trigger=trigger).missing(new, recent) == missing


def test_an_undecided_gain_says_how_many_labels_would_decide_and_status_numbers_retrainings():
    recent = Gate(
        "recent",
        0.1,
        0.3,
        (0.2, 0.0, 0.4),
        0.02,
        0.3,
        40,
        Verdict.UNDECIDED,
        "wide",
        images_needed=60,
    )
    report = GateReport("digits/1", "digits/2", (recent,))
    decision = Decision(
        Outcome.REJECTED, 2, 1, "drift", "me", ("recent: undecided, wide",), gates=report
    )
    done = RetrainSummary.decided(asked(), decision)
    assert done.missing == 80, "a quarter of new labels is held out to judge by"
    assert (
        done.reason
        == "recent: undecided, wide; about 80 more labels would decide on the recent images"
    )
    assert asked().labels_needed == asked().data.minimum_labels == 160
    assert asked().labels_to_decide(None) == 0
