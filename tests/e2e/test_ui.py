"""What people see in a real browser: form, run, schedule, comparison, Evidently's dashboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from benchmarks.browser import PATIENCE_MS, browsing, chromium, fill, open_form, submit
from benchmarks.ui import ask, finished_release, next_nightly, up
from flows.config.demo import NAME
from model_registry import CHAMPION, Registry, sqlite_uri
from tests.conftest import foveal

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="needs Chromium: apt-get install chromium"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("ui") / "home"


@pytest.fixture(scope="module")
def servers(root):
    with up(root) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def browser():
    with browsing() as page:
        yield page.context.browser


@contextmanager
def fresh(browser, servers) -> Iterator[Any]:
    """Open a page, profile empty, by the printed sign-in link; it must have asked no other host."""
    asked, page = set(), browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    # none: data, blob
    page.on("request", lambda request: asked.add(urlsplit(request.url).hostname or "127.0.0.1"))
    page.goto(servers.pages["prefect"])
    page.wait_for_url("**/deployments")
    try:
        yield page
    finally:
        page.close()
    assert asked == {"127.0.0.1"}


@pytest.fixture
def page(browser, servers):
    with fresh(browser, servers) as page:
        yield page


def test_no_night_is_scheduled_before_a_first_release(servers):
    (nightly,) = ask(
        servers, "deployments/filter", {"flows": {"name": {"any_": ["nightly monitoring"]}}}
    )
    assert [schedule["active"] for schedule in nightly["schedules"]] == [False]


@pytest.fixture(scope="module")
def clicked(servers, browser, scenes):
    """A release that was started from the form: its run, as Prefect's API has it."""
    with fresh(browser, servers) as page:
        open_form(page, servers.pages["prefect"], "release")
        fields = {"Labelled": str(scenes), "Images": str(scenes.parent / "images" / "day")}
        fill(page, fields | {"Calibration images": "16", "Golden images": "3"})
        submit(page)
    return finished_release(servers, NAME)


def test_a_click_in_the_form_ends_in_a_registered_version(clicked, root):
    assert clicked["state_type"] == "COMPLETED", clicked["state"]["message"]
    asked = clicked["parameters"]["config"]
    assert (asked["data"]["calibration_images"], asked["target"]) == (16, "workstation")
    registry = Registry(sqlite_uri(root / "mlflow" / "mlflow.db"))
    assert registry.get(NAME, CHAMPION).version == 1


def test_the_nightly_schedule_begins_with_the_first_release(clicked, servers, page):
    assert "02:00:00 AM" in next_nightly(page, servers)


def test_a_finished_run_shows_its_artifacts(clicked, servers, page):
    page.goto(f"{servers['prefect']}/runs/flow-run/{clicked['id']}")
    page.get_by_text("Artifacts", exact=True).first.click()
    for key in ("variants", "latency-and-accuracy", "drift-decision", "release"):
        page.get_by_text(key, exact=True).first.wait_for()
    (plot,) = ask(
        servers, "artifacts/filter", {"artifacts": {"key": {"any_": ["latency-and-accuracy"]}}}
    )
    page.goto(f"{servers['prefect']}/artifacts/artifact/{plot['id']}")
    picture = page.locator("img[src^='data:image/png']").first
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 300")


def test_the_link_to_the_drift_report_opens_it_in_mlflow(clicked, servers, page):
    (link,) = ask(servers, "artifacts/filter", {"artifacts": {"key": {"any_": ["drift-report"]}}})
    address = link["data"].partition("](")[2].removesuffix(")")
    assert address.startswith(servers["mlflow"])
    page.goto(address)
    page.frame_locator("iframe").get_by_text("brightness").first.wait_for()
    page.get_by_text("evidently.html", exact=True).first.click()
    page.frame_locator("iframe").get_by_text("Columns", exact=True).first.wait_for()


def test_a_typo_in_the_parameters_is_refused_with_its_reason(servers, page):
    open_form(page, servers.pages["prefect"], "release")
    fill(page, {"Rounds": "2"})
    page.get_by_role("button", name="Submit", exact=True).click()
    page.get_by_text("2 is less than the minimum of 6").first.wait_for()
    assert "/run" in page.url, "the form is still open"


def test_two_versions_stand_side_by_side_in_mlflow(clicked, servers, page, root, scenes):
    config = root.parent / "again.yaml"
    document = clicked["parameters"]["config"] | {
        "promote": "never",
        "thresholds": {"confidence": 0.4, "iou": 0.7},
    }
    config.write_text(json.dumps(document))  # JSON is YAML
    done = foveal("release", config, "--json", root=root)
    assert done.returncode == 0, done.stderr
    registry = Registry(sqlite_uri(root / "mlflow" / "mlflow.db"))
    page.goto(registry.comparison_url(NAME, 1, 2, servers["mlflow"]))
    for text in ("Comparing 2 Versions", "thresholds.confidence", "p50_ms"):
        page.get_by_text(text).first.wait_for()


def test_drift_over_time_stands_in_evidently(clicked, servers, page, root, scenes):
    done = foveal("monitor", NAME, "--images", scenes.parent / "images" / "night", root=root)
    assert done.returncode == 0, done.stderr
    page.goto(servers["evidently"])
    page.get_by_text(NAME).first.click()
    page.get_by_text("Share of columns that drifted").first.wait_for()


def test_prometheus_finds_the_models_and_their_windows(clicked, servers):
    said = httpx.get(f"{servers['metrics']}/metrics", timeout=60).text
    assert 'foveal_source_up{source="store"} 1.0' in said
    assert 'foveal_champion_version{model="digits"} 1.0' in said
