"""Records come back in order of time, as first given."""

from __future__ import annotations

import pytest

from components.errors import ConfigError
from tests.unit.monitoring.store.stored import DAY, HOUR


def test_records_come_back_in_order_of_time(store):
    for key, hours in (("b", 2), ("a", 1), ("c", 3)):
        assert store.put_record(
            "digits", 3, "drift", key, {"state": key, "p": [0.5, None]}, at=DAY + hours * HOUR
        )
    store.put_record("digits", 4, "drift", "d", {}, at=DAY)
    store.put_record("digits", 3, "alert", "e", {}, at=DAY)
    found = store.records("digits", "drift", 3)
    assert [(record.key, record.version, record.at) for record in found] == [
        ("a", "3", DAY + HOUR),
        ("b", "3", DAY + 2 * HOUR),
        ("c", "3", DAY + 3 * HOUR),
    ]
    assert found[0].content == {"state": "a", "p": [0.5, None]}
    assert [record.key for record in store.records("digits", "drift")] == ["d", "a", "b", "c"]
    within = store.records("digits", "drift", 3, start=DAY + HOUR, end=DAY + 3 * HOUR)
    assert [record.key for record in within] == ["a", "b"]
    assert store.records("digits", "calibration") == ()


def test_record_keeps_what_it_was_first_given(store):
    assert store.put_record("digits", 3, "drift", "key", {"state": "warn"}, at=DAY)
    assert not store.put_record("digits", 3, "drift", "key", {"state": "ok"}, at=DAY + HOUR)
    (record,) = store.records("digits", "drift")
    assert (record.content, record.at) == ({"state": "warn"}, DAY)


def test_record_that_is_no_json_is_refused(store):
    with pytest.raises(ConfigError, match="plain JSON"):
        store.put_record("digits", 3, "drift", "key", {"when": DAY}, at=DAY)
    assert store.records("digits", "drift") == ()
