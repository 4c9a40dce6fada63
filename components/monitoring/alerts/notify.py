"""Delivery of alerts: a log line always, and any channels of Apprise (mail, Slack, webhooks, …).

A channel's URL holds its password, so it is named by its place and its scheme only, and what
Apprise and its HTTP client log while they send is kept back: they repeat URLs.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components import telemetry
from components.monitoring.alerts.book import Alert, AlertStatus

if TYPE_CHECKING:
    from apprise import NotifyBase

_LOG = logging.getLogger(__name__)
_TALKATIVE = ("apprise", "urllib3.connectionpool", "requests_oauthlib")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,15})://", re.IGNORECASE)


@dataclass(frozen=True)
class Delivery:
    """Channels that took the alerts or failed, by masked names such as ``"channel 2 (slack)"``."""

    sent: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def reached(self) -> bool:
        """Tell whether somebody was told: by a channel, or by the log where it is the only one."""
        return bool(self.sent) or not self.failed


def send_alerts(alerts: Sequence[Alert], channels: Sequence[str] = ()) -> Delivery:
    """Log each alert, and send all of them as one message to each channel.

    A channel that fails is one warning in the log; the other channels are sent to all the same.

    Arguments:
        alerts: what `AlertStore.update` gave to send; nothing is sent when there are none.
        channels: Apprise URLs (https://github.com/caronc/apprise), e.g.
            ``"mailto://user:password@host"``; secrets.
    """
    if not alerts:
        return Delivery()
    for alert in alerts:
        _LOG.log(
            logging.WARNING if alert.status is AlertStatus.FIRING else logging.INFO,
            "%s",
            _line(alert),
        )
    sent: list[str] = []
    failed: list[str] = []
    for number, url in enumerate(channels, start=1):
        name = _masked(number, url)
        problem = _send(url, alerts)
        if problem:
            _LOG.warning("%s did not take %d alerts: %s", name, len(alerts), problem)
        (failed if problem else sent).append(name)
    return Delivery(tuple(sent), tuple(failed))


def unknown_channels(channels: Sequence[str]) -> tuple[str, ...]:
    """Masked names of the channels whose URL is of no service that Apprise knows; nothing is sent.

    Arguments:
        channels: Apprise URLs; secrets.
    """
    named = [(_masked(number, url), _channel(url)) for number, url in enumerate(channels, start=1)]
    return tuple(name for name, channel in named if channel is None)


def _channel(url: str) -> NotifyBase | None:
    """Apprise's object for a URL; None if it knows no such service."""
    telemetry.switch_off()
    with _hushed():
        from apprise import Apprise, AppriseAsset

        return Apprise.instantiate(
            url, asset=AppriseAsset(app_id="Foveal", app_desc="Foveal", async_mode=False)
        )


def _send(url: str, alerts: Sequence[Alert]) -> str:
    """Return why a channel did not take the alerts; empty when it did."""
    firing = any(alert.status is AlertStatus.FIRING for alert in alerts)
    try:
        channel = _channel(url)
        if channel is None:
            return "not a URL of a service that Apprise knows; check its spelling"
        with _hushed():
            from apprise import NotifyType

            taken = channel.notify(
                title=_title(alerts),
                body="\n".join(map(_line, alerts)),
                notify_type=NotifyType.WARNING if firing else NotifyType.SUCCESS,
            )
    except Exception as error:
        # services raise errors of many kinds, and their texts may hold the URL
        return f"{type(error).__name__}; check its address, its password and the network"
    return (
        ""
        if taken
        else "the service refused or could not be reached; check its address and its password"
    )


def _title(alerts: Sequence[Alert]) -> str:
    """Such as ``"digits: 2 alerts, 1 resolved"``."""
    firing = sum(alert.status is AlertStatus.FIRING for alert in alerts)
    resolved = len(alerts) - firing
    counts = [f"{firing} alert{'s' if firing > 1 else ''}"] if firing else []
    counts += [f"{resolved} resolved"] if resolved else []
    return f"{', '.join(dict.fromkeys(alert.subject for alert in alerts))}: {', '.join(counts)}"


def _line(alert: Alert) -> str:
    state = (
        "ALERT"
        if alert.status is AlertStatus.FIRING
        else f"RESOLVED (since {alert.since:%Y-%m-%d %H:%M})"
    )
    return f"{state} {alert.subject} {alert.rule}: {alert.reason}"


def _masked(number: int, url: str) -> str:
    scheme = _SCHEME.match(url)
    return f"channel {number} ({scheme[1].lower() if scheme else 'no URL'})"


@contextmanager
def _hushed() -> Iterator[None]:
    """Suppress what these libraries log inside the block, and warnings about their own code."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
