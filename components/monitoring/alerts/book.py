"""Store of open alerts, so that each is sent once when it begins and once when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from components.contracts import Check, Verdict, dump, load
from components.errors import ConfigError
from components.monitoring.store.store import Record
from components.printing import counted

KIND = "alerts"  # of the records
NO_IMAGES = "no_new_images"
UNREACHABLE = "unreachable_places"
# rules that are about a source of images, and not about the model
OF_A_SOURCE = frozenset({NO_IMAGES, UNREACHABLE})


class AlertStatus(StrEnum):
    """Status of an alert: it begins or ends."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Alert:
    """Something that a person should know.

    Arguments:
        subject: what it is about: the model's name without a version, so that a new version can
            resolve it, or one of its sources of images.
        rule: the name of the check, e.g. ``"accuracy_drop"``.
        status: firing or resolved.
        reason: what was measured, and the limit.
        since: when it began.
    """

    subject: str
    rule: str
    status: AlertStatus
    reason: str
    since: datetime


@dataclass(frozen=True)
class AlertStore:
    """The alerts that are firing. The caller stores it as the records that `to_records` gives.

    Store the new book only when its alerts have reached somebody: with the old one they are told
    again next time.
    """

    firing: tuple[Alert, ...] = ()

    def update(
        self, subject: str, checks: Sequence[Check], *, now: datetime
    ) -> tuple[AlertStore, tuple[Alert, ...]]:
        """Enter the checks of one window.

        A check that fails begins an alert or keeps it firing; one that passes ends it. One that is
        undecided or could not be evaluated changes nothing: not knowing is not being well.

        Arguments:
            subject: see `Alert`; alerts of other subjects stay as they are.
            checks: each rule at most once.
            now: with a time zone.

        Returns:
            The new book, and the alerts to send: those that began and those that ended.

        Raises:
            ValueError: a rule comes twice.
        """
        if len({check.name for check in checks}) < len(checks):
            raise ValueError(
                f"expected each rule once, found {', '.join(check.name for check in checks)}"
            )
        firing = {(alert.subject, alert.rule): alert for alert in self.firing}
        to_send = []
        for check in checks:
            key = (subject, check.name)
            if check.verdict is Verdict.FAIL and key not in firing:
                firing[key] = Alert(subject, check.name, AlertStatus.FIRING, check.reason, now)
                to_send.append(firing[key])
            elif check.verdict is Verdict.FAIL:
                firing[key] = replace(firing[key], reason=check.reason)
            elif check.verdict is Verdict.PASS and key in firing:
                to_send.append(
                    replace(firing.pop(key), status=AlertStatus.RESOLVED, reason=check.reason)
                )
        return AlertStore(tuple(firing.values())), tuple(to_send)

    def to_records(self) -> list[object]:
        """As plain JSON values."""
        return [dump(alert) for alert in self.firing]

    @classmethod
    def from_records(cls, records: Sequence[object]) -> AlertStore:
        """From what `to_records` gave.

        Raises:
            ConfigError: a record is no alert.
        """
        try:
            return cls(tuple(load(Alert, record) for record in records))
        except ValueError as error:  # pydantic's
            raise ConfigError(
                "the records of open alerts",
                found="others",
                hint="remove them: open alerts are then told again",
            ) from error


def book_record(subject: str, firing: AlertStore, sent: Sequence[Alert]) -> dict[str, object]:
    """The document of what was told of a subject: what still fires, and what was sent."""
    return {
        "subject": subject,
        "firing": firing.to_records(),
        "sent": AlertStore(tuple(sent)).to_records(),
    }


def latest_book(records: Sequence[Record], subject: str) -> AlertStore:
    """The alerts of a subject that are firing.

    Each subject has a book of its own: a look by hand during a night does not hide what the night
    told. A record that names no subject is about all of them.

    Arguments:
        records: of the kind `KIND`, in order of time.
        subject: see `Alert`.
    """
    about = [record for record in records if record.content.get("subject", subject) == subject]
    book = AlertStore.from_records(about[-1].content["firing"] if about else [])
    return AlertStore(tuple(alert for alert in book.firing if alert.subject == subject))


def check_arrivals(since: datetime, *, now: datetime, limit_hours: float, source: str) -> Check:
    """Check that images arrive at all: a dead camera makes no window, so no other check would fail.

    Arguments:
        since: when the last images were found, or when they were first looked for.
        now: with a time zone.
        limit_hours: for how long none need come.
        source: where they should arrive, for the reason.
    """
    hours = (now - since).total_seconds() / 3600
    verdict = Verdict.FAIL if hours > limit_hours else Verdict.PASS
    reason = (
        f"the last new images at {source} were found {hours:.0f} h ago (limit {limit_hours:g} h)"
    )
    return Check(NO_IMAGES, hours, limit_hours, verdict, reason)


def check_places(unreachable: Sequence[tuple[str, int]], images: int) -> Check:
    """Check that every host and mount answered that a window's images are on.

    Arguments:
        unreachable: those that did not, each with its number of images.
        images: of the window.
    """
    missed = sum(count for _, count in unreachable)
    if not missed:
        return Check(
            UNREACHABLE, 0.0, 0.0, Verdict.PASS, "every place answered that the images are on"
        )
    told = ", ".join(f"{place} ({counted(count, 'image')})" for place, count in unreachable)
    reason = (
        f"no answer of {told}: {missed} of {counted(images, 'image')} of this window without "
        "a prediction"
    )
    return Check(UNREACHABLE, float(missed), 0.0, Verdict.FAIL, reason)
