"""Pictures of what `foveal up` shows of a storage root on which the demo has run.

Look at the paths in them first.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.browser import browsing, open_form
from benchmarks.ui import ask, up
from flows.config.demo import NAME
from flows.runtime.settings import Settings
from model_registry import Registry

SETTLES_MS = 3000  # what fades in, and charts that come one after another
PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def main() -> None:
    """Write form.png, run.png, comparison.png and evidently.png."""
    settings = Settings.from_environment()
    PICTURES.mkdir(exist_ok=True)
    with up(settings.root) as servers, browsing(width=1280, height=900) as page:
        open_form(page, servers.pages["prefect"], "release")
        page.wait_for_timeout(SETTLES_MS)
        page.screenshot(path=PICTURES / "form.png")

        named = {"flows": {"name": {"any_": ["retrain"]}}, "sort": "START_TIME_DESC"}
        (run, *_) = ask(servers, "flow_runs/filter", named)
        page.goto(f"{servers['prefect']}/runs/flow-run/{run['id']}")
        page.get_by_text("Artifacts", exact=True).first.click()
        page.get_by_text("gates", exact=True).first.wait_for()
        page.wait_for_timeout(SETTLES_MS)
        page.screenshot(path=PICTURES / "run.png")

        page.goto(Registry(settings.tracking_uri).comparison_url(NAME, 1, 2, servers["mlflow"]))
        page.get_by_text("Comparing 2 Versions").first.wait_for()
        page.wait_for_timeout(SETTLES_MS)
        page.get_by_text(
            "peak_rss_mb", exact=True
        ).first.scroll_into_view_if_needed()  # metrics are below parameters
        page.screenshot(path=PICTURES / "comparison.png")

        page.goto(servers["evidently"])
        page.get_by_text(NAME).first.click()
        page.get_by_text("Share of columns that drifted").first.wait_for()
        page.wait_for_timeout(SETTLES_MS)
        page.screenshot(path=PICTURES / "evidently.png")
    sys.stdout.write(f"{PICTURES}\n")


if __name__ == "__main__":
    main()
