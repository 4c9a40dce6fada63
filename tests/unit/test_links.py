"""Links of pages read in the repository lead to existing files and headings, named files too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# mkdocs looks at the links of the others
READ_HERE = sorted([*ROOT.glob("*.md"), ROOT / "infra" / "README.md"])
PAGES = [*READ_HERE, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\!)\]\(([^)\s]+)\)")
NAMED = re.compile(
    r"`((?:infra|docs|benchmarks|notebooks|tests|components|flows|model_registry)/[\w./-]+)`"
)
TO_WRITE = re.compile(r"NAME")  # what a page tells people to add


def anchors(page: Path) -> set[str]:
    """What links may name in a page: its headings, as GitHub and mkdocs write them."""
    headings = re.findall(
        r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {
        re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", one).strip().lower()) for one in headings
    }


def dead(page: Path, link: str) -> bool:
    place, _, anchor = link.partition("#")
    target = page.parent / place if place else page
    return not target.exists() or bool(
        anchor and target.suffix == ".md" and anchor not in anchors(target)
    )


@pytest.mark.parametrize("page", READ_HERE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_is_dead(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = [one for one in LINK.findall(text) if not re.match(r"\w+:", one)]
    assert [one for one in links if dead(page, one)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert [
        one for one in NAMED.findall(text) if not TO_WRITE.search(one) and not (ROOT / one).exists()
    ] == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One thing, and `another`\n")
    assert [
        dead(page, link) for link in ("page.md", "#one-thing-and-another", "page.md#two", "none.md")
    ] == [False, False, True, True]
