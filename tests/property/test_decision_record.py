"""Whatever is appended to a record, however often: one champion, and one answer for any time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from components.contracts import Decision, Outcome
from model_registry.decisions.history import CHANGES, Entry, replay

START = datetime(2026, 3, 1, tzinfo=UTC)
VERSIONS = st.integers(1, 4)


@st.composite
def records(draw):
    """Draw entries of writers with an old champion, a repeated entry or a jumping clock."""
    entries = []
    for number in range(1, draw(st.integers(0, 15)) + 1):
        decision = Decision(
            draw(st.sampled_from(list(Outcome))),
            draw(VERSIONS),
            draw(st.none() | VERSIONS),
            "by hand",
            "somebody",
        )
        if draw(st.booleans()):  # a writer who has seen the champion as it is
            seen = replay(entries).champion
            decision = Decision(decision.outcome, decision.version, seen, "by hand", "somebody")
        at = START + timedelta(seconds=draw(st.integers(-50, 50)) + number)
        key = draw(st.sampled_from([f"new {number}", *(entry.key for entry in entries)]))
        entries.append(Entry(number, at, key, f"run {number}", decision))
    return entries


@given(records())
def test_each_change_begins_with_the_champion_that_the_one_before_left(entries):
    champion = None
    for decided in replay(entries).decisions:
        if decided.decision.outcome in CHANGES:
            assert decided.decision.champion_before == champion
            champion = (
                None if decided.decision.outcome is Outcome.WITHDRAWN else decided.decision.version
            )
    assert champion == replay(entries).champion


@given(records(), st.integers(0, 15))
def test_what_is_appended_later_changes_nothing_that_was_said(entries, cut):
    assert (
        replay(entries).entries[: len(replay(entries[:cut]).entries)]
        == replay(entries[:cut]).entries
    )
    assert replay(entries).champion_after(cut) == replay(entries[:cut]).champion


@given(records(), st.randoms(use_true_random=False))
def test_the_order_in_which_entries_are_read_does_not_matter_and_reading_twice_neither(
    entries, random
):
    shuffled = [*entries, *entries]
    random.shuffle(shuffled)
    assert replay(shuffled) == replay(entries)


@given(records())
def test_an_attempt_counts_at_most_once_and_of_two_that_saw_the_same_champion_one_wins(entries):
    keys = [entry.key for entry in replay(entries).entries]
    assert len(keys) == len(set(keys))
    rivals = [
        Entry(
            len(entries) + k,
            START,
            f"rival {k}",
            "",
            Decision(Outcome.PROMOTED, 10 + k, replay(entries).champion, "", ""),
        )
        for k in (1, 2)
    ]
    history = replay([*entries, *rivals])
    assert (history.champion, history.counts("rival 1"), history.counts("rival 2")) == (
        11,
        True,
        False,
    )


@given(records(), st.integers(-100, 200))
def test_any_time_has_one_champion_at_most_and_reigns_follow_each_other(entries, seconds):
    history, time = replay(entries), START + timedelta(seconds=seconds)
    times = [decided.at for decided in history.decisions]
    assert times == sorted(times)
    by_then = [d for d in history.decisions if d.at <= time and d.decision.outcome in CHANGES]
    expected = history.champion_after(by_then[-1].number) if by_then else None
    found = history.champion_at(time)
    assert (found.version if found else None) == expected
    for one, two in zip(history.periods(), history.periods()[1:], strict=False):
        assert one.until is not None and one.since <= one.until <= two.since
    if history.champion is not None:
        assert (history.periods()[-1].version, history.periods()[-1].until) == (
            history.champion,
            None,
        )


@given(records())
def test_the_previous_champion_was_a_champion_and_is_not_the_champion(entries):
    history = replay(entries)
    if history.previous is not None:
        assert history.previous in {period.version for period in history.periods()}
        assert history.previous != history.champion
