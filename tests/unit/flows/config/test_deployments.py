"""`foveal.yaml`: what it may say, what it means, and how a mistake in it is named."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as quickly
from hypothesis import strategies as st

from components.errors import ConfigError
from flows.config.cron import check_cron
from flows.config.deployments import (
    DeploymentsConfig,
    demo_deployments,
    machine_timezone,
    read_deployments,
)
from flows.runtime.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(tmp_path / "home", "sqlite://", embedded_tracking=True)


def read(tmp_path, settings, text: str) -> DeploymentsConfig:
    (tmp_path / "foveal.yaml").write_text(text)
    return read_deployments(tmp_path / "foveal.yaml", settings)


def test_paths_are_relative_to_the_file_and_urls_stay(tmp_path, settings):
    read_of = read(
        tmp_path,
        settings,
        "models:\n"
        "- {name: a, images: incoming/*.jpg, labels: checked/data.yaml, release: a.yaml,"
        " retraining: {data: {labels: more}}}\n"
        "- {name: b, images: s3://bucket/b}\n",
    )
    first, second = read_of.models
    assert first.images == str(tmp_path / "incoming/*.jpg")
    assert (first.labels, first.release) == (tmp_path / "checked/data.yaml", tmp_path / "a.yaml")
    assert first.retrain().data.labels == tmp_path / "more"
    assert second.images == "s3://bucket/b"


def test_an_unquoted_deadline_means_what_it_looks_like(tmp_path, settings):
    (model,) = read(tmp_path, settings, "models: [{name: a, images: x, deadline: 16:30}]").models
    assert model.deadline == time(16, 30)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models: []", "models: List should have at least 1 item"),
        (
            "models: [{name: a, images: x, labls: y}]",
            "models.0.labls is unknown, did you mean labels?",
        ),
        ("models: [{name: a, images: x, retraining: {automatik: no}}]", "did you mean automatic?"),
        (
            "models: [{name: a, images: x}, {name: a, images: y}]",
            "expected each model once, found a more often",
        ),
        (
            "models: [{name: a, images: x, cron: 0 25 * * *}]",
            "expected hour as cron has it, 0 to 23, found 25",
        ),
        (
            "models: [{name: a, images: x, timezone: Europe/Bern}]",
            "expected the name of a time zone",
        ),
        (
            "models: [{name: a, images: x}]\nwork_pool: {name: p, type: docker}",
            "expected an image for docker",
        ),
        ("models: [{name: a, images: x}]\nwork_pool: {name: p, type: vm}", "work_pool.type"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, settings, text, words):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, settings, text)
    assert words in str(error.value)


def test_without_a_file_the_demo_is_watched(tmp_path, settings, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_deployments(None, settings) == demo_deployments(settings)
    (model,) = demo_deployments(settings).models
    assert model.images == str(settings.root / "demo" / "digits" / "images" / "night")
    assert model.retrain().data.labels_split == "night"
    assert model.nightly().name == "digits" and machine_timezone() == model.timezone


_NUMBERS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 28), "month": (1, 12), "weekday": (0, 6)}


@st.composite
def cron_fields(draw) -> str:
    fields = []
    for low, high in _NUMBERS.values():
        first, last = sorted(draw(st.tuples(st.integers(low, high), st.integers(low, high))))
        shapes = [
            "*",
            str(first),
            f"{first}-{last}",
            f"*/{max(first, 1)}",
            f"{first},{last}",
            f"{first}-{last}/2",
        ]
        fields.append(draw(st.sampled_from(shapes)))
    return " ".join(fields)


@quickly(deadline=None)  # the first example imports Prefect
@given(cron_fields())
def test_every_schedule_that_is_accepted_is_one_that_prefect_accepts(text):
    from prefect.client.schemas.schedules import CronSchedule

    assert CronSchedule(cron=check_cron(text)).cron == text


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "@daily", "a * * * *"],
)
def test_what_is_no_schedule_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        check_cron(text)


@pytest.mark.parametrize(
    ("cron", "deadline", "hours"),
    [
        ("0 2 * * *", time(6), 4),
        ("0 22 * * *", time(6), 8),
        ("0 6 * * *", time(6), 24),
        ("0 2 * * mon", time(6), 4),
        ("0 2,5 * * *", time(6), 1),
        ("* * * * *", time(6), 1 / 60),
    ],
)
def test_a_night_has_until_the_deadline(cron, deadline, hours):
    from flows.config.cron import time_allowed

    for moment in (datetime(2026, 3, 10, 12, tzinfo=UTC), datetime(2026, 3, 10, 3, 30, tzinfo=UTC)):
        assert time_allowed(cron, ZoneInfo("Europe/Zurich"), deadline, moment) == timedelta(
            hours=hours
        )


@pytest.mark.parametrize(
    ("cron", "due", "by"),
    [
        ("0 2 * * *", "2026-10-24T00:00", "2026-10-24T04:00"),  # 02:00 and 06:00 of summer
        # 02:00 of summer, 06:00 of winter: five hours
        ("0 2 * * *", "2026-10-25T00:00", "2026-10-25T05:00"),
        ("0 2 * * *", "2026-10-26T01:00", "2026-10-26T05:00"),
        ("0 2 * * *", "2027-03-27T01:00", "2027-03-27T05:00"),
        # there is no 02:00, so Prefect takes 01:00
        ("0 2 * * *", "2027-03-28T00:00", "2027-03-28T04:00"),
        ("0 1 * * *", "2027-03-27T00:00", "2027-03-27T05:00"),
        # 01:00 of winter, 06:00 of summer: four hours, not five
        ("0 1 * * *", "2027-03-28T00:00", "2027-03-28T04:00"),
        ("0 1 * * *", "2027-03-28T23:00", "2027-03-29T04:00"),
    ],
)
def test_a_deadline_is_by_the_clock_of_its_own_night(cron, due, by):
    from flows.config.cron import deadline_of, fires

    zone, moment = ZoneInfo("Europe/Zurich"), datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert fires(cron, zone, moment - timedelta(seconds=1)) == moment
    found = deadline_of(cron, zone, time(6), moment)
    assert found == datetime.fromisoformat(by).replace(tzinfo=UTC)
    assert found.astimezone(zone).time() == time(6)


@pytest.mark.parametrize(
    "deployed", ["2026-03-28", "2026-06-01", "2026-10-24", "2026-10-25", "2026-12-31"]
)
def test_no_night_has_less_time_than_the_shortest_on_whatever_day_it_is_deployed(deployed):
    from flows.config.cron import shortest_allowed

    moment = datetime.fromisoformat(deployed).replace(hour=12, tzinfo=UTC)
    for zone, cron, hours in (
        ("Europe/Zurich", "0 1 * * *", 4),
        ("Europe/Zurich", "0 2 * * *", 4),
        ("UTC", "0 1 * * *", 5),
    ):
        assert shortest_allowed(cron, ZoneInfo(zone), time(6), moment) == timedelta(hours=hours)
