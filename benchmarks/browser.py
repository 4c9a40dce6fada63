"""A person at the pages of `foveal up`: headless Chromium, as Debian packages it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (  # without the rest it asks its maker's hosts for this and that
    "--autofill-server-url=http://127.0.0.1:9/",  # asked about each form; nobody listens there
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE_MS = 120_000  # a page on a busy machine


def chromium() -> str | None:
    """The browser of this machine."""
    return next((found for name in CHROMIUM if (found := shutil.which(name))), None)


@contextmanager
def browsing(*options: str, width: int = 1400, height: int = 1000) -> Iterator[Any]:
    """A page of a browser with an empty profile: Playwright's `Page`; `options` are Chromium's.

    Raises:
        RuntimeError: there is no Chromium.
    """
    from playwright.sync_api import sync_playwright

    browser = chromium()
    if browser is None:
        raise RuntimeError("expected Chromium, found none; apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=[*_ARGUMENTS, *options])
        try:
            page = opened.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(PATIENCE_MS)
            yield page
        finally:
            opened.close()


def open_form(page: Any, prefect: str, deployment: str) -> None:
    """Click from the list of deployments to the form of one of them.

    `prefect` is the link that `foveal up` prints.
    """
    page.goto(prefect)
    page.get_by_role("link", name=deployment, exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    page.get_by_text("Validate parameters").wait_for()


def fill(page: Any, values: Mapping[str, str]) -> None:
    """Fill form fields by their titles, e.g. ``{"Name": "parts", "Calibration images": "16"}``."""
    for title, value in values.items():
        named = (
            f"starts-with(normalize-space(text()), '{title} (') or normalize-space(text()) = "
            f"'{title}'"
        )
        page.locator(
            f"xpath=(//*[{named}]/following::*[self::textarea or self::input[@type='number']])[1]"
        ).fill(value)


def submit(page: Any) -> None:
    """Start the run that the form describes."""
    page.get_by_role("button", name="Submit", exact=True).click()
    page.get_by_role("button", name="Submit", exact=True).wait_for(state="detached")
