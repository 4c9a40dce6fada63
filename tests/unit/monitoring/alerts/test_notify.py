import json
import logging
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.monitoring.alerts.book import Alert, AlertStatus
from components.monitoring.alerts.notify import Delivery, send_alerts

SINCE = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
FIRING = Alert("digits", "accuracy_drop", AlertStatus.FIRING, "top1 0.95 → 0.80", SINCE)
RESOLVED = Alert("digits", "error_rate", AlertStatus.RESOLVED, "0 of 500 images failed", SINCE)
SECRET = "hush-hush"  # noqa: S105


@pytest.fixture
def webhook():
    """A server that keeps what is posted to it; its answer is in `status`."""
    kept = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            kept.append(
                (self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            )
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *_):
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.kept, server.status = kept, 200
    server.url = f"json://user:{SECRET}@127.0.0.1:{server.server_port}/{SECRET}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def unused_port():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port


def test_all_alerts_arrive_at_a_webhook_as_one_message(webhook):
    delivery = send_alerts([FIRING, RESOLVED], [webhook.url])
    assert delivery == Delivery(sent=("channel 1 (json)",)) and delivery.reached
    ((path, message),) = webhook.kept
    assert path == f"/{SECRET}"
    assert message["title"] == "digits: 1 alert, 1 resolved"
    assert message["type"] == "warning"
    assert message["message"].splitlines() == [
        "ALERT digits accuracy_drop: top1 0.95 → 0.80",
        "RESOLVED (since 2026-03-01 04:30) digits error_rate: 0 of 500 images failed",
    ]


def test_news_that_all_is_well_is_sent_as_a_success(webhook):
    send_alerts([RESOLVED], [webhook.url])
    assert webhook.kept[0][1]["type"] == "success"
    assert webhook.kept[0][1]["title"] == "digits: 1 resolved"


def test_every_alert_is_a_line_in_the_log_even_without_channels(caplog):
    with caplog.at_level(logging.INFO):
        assert send_alerts([FIRING, RESOLVED]).reached
    assert [(record.levelname, record.getMessage().split()[0]) for record in caplog.records] == [
        ("WARNING", "ALERT"), ("INFO", "RESOLVED"),
    ]  # fmt: skip


def test_nothing_to_tell_is_not_sent(webhook, caplog):
    assert send_alerts([], [webhook.url]) == Delivery()
    assert webhook.kept == [] and caplog.records == []


def test_a_failing_channel_is_one_warning_and_the_others_get_the_alert(
    webhook, unused_port, caplog
):
    delivery = send_alerts([FIRING], [f"json://127.0.0.1:{unused_port}/{SECRET}", webhook.url])
    assert (
        delivery == Delivery(sent=("channel 2 (json)",), failed=("channel 1 (json)",))
        and delivery.reached
    )
    assert len(webhook.kept) == 1
    (warning,) = [record for record in caplog.records if "did not take" in record.getMessage()]
    assert warning.getMessage().startswith(
        "channel 1 (json) did not take 1 alerts: the service refused"
    )


def test_a_service_that_refuses_is_a_failure(webhook):
    webhook.status = 500
    delivery = send_alerts([FIRING], [webhook.url])
    assert delivery == Delivery(failed=("channel 1 (json)",)) and not delivery.reached


@pytest.mark.parametrize(
    "url", [f"nonsense://{SECRET}", SECRET, "", f"slack://{SECRET}", "mailto://"]
)
def test_a_wrong_url_is_one_warning_that_does_not_repeat_it(url, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        assert not send_alerts([FIRING], [url]).reached
    assert sum("did not take" in record.getMessage() for record in caplog.records) == 1
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("status", [200, 500])
def test_secrets_stay_out_of_the_log_at_any_level(webhook, status, caplog, capfd):
    webhook.status = status
    with caplog.at_level(1):
        delivery = send_alerts([FIRING], [webhook.url])
    assert SECRET not in caplog.text + str(delivery) + "".join(capfd.readouterr())
    assert not logging.getLogger("apprise").disabled
