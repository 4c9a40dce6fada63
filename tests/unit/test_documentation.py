"""The documentation: it builds, all links whole, names real commands, fetches nothing outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from itertools import product
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "infra" / "README.md", *(ROOT / "docs").rglob("*.md")])
INLINE = re.compile(r"`foveal ([a-z][^`]*)`")
IN_CONTAINER = re.compile(r"docker (?:run .*?\sfoveal:\S+|compose .*?\srun (?:--\S+ )*\w+) (\w+)")
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> Iterator[str]:
    """Yield what follows `foveal` in fences, there in containers too, and between back quotes."""
    for fence in FENCED.findall(text):
        lines = [
            re.sub(r"^docker run .*?\sfoveal:\S+ ", "", line)
            for line in fence.replace("\\\n", " ").splitlines()
        ]
        yield from (
            line.removeprefix("$ ").removeprefix("foveal ")
            for line in lines
            if "foveal " in line[:9]
        )
    for line in INLINE.findall(FENCED.sub("", text)):
        # a table writes alternatives as export\|import
        words = [word.split("\\|") for word in line.split()]
        yield from map(" ".join, product(*words))


def unknown(line: str) -> str:
    """What of a command line the `foveal` command does not know; empty if it knows all."""
    from flows.cli.main import app

    found = typer.main.get_command(app)
    for word in line.split():
        if not hasattr(found, "commands"):
            break
        if word not in found.commands:
            return f"the command {word}"
        found = found.commands[word]
    options = {
        name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)
    }
    missing = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", line)) - options - {"--help"}
    return f"the option {sorted(missing)[0]}" if missing else ""


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("release parts.yaml --trust-pickle", ""),
        ("labels export parts --output x", ""),
        ("release parts.yaml --trust-pickles", "the option --trust-pickles"),
        ("labels exports parts", "the command exports"),
        ("fly parts", "the command fly"),
        ("labels", ""),
    ],
)
def test_a_command_that_does_not_exist_is_found(line, what):
    assert unknown(line) == what


def test_commands_are_found_in_fences_and_between_back_quotes():
    page = (
        "Say `foveal up`, or\n```\n$ foveal release x \\\n --json\nls\ndocker run --rm foveal:1 "
        "foveal doctor\n```\n"
        "or `foveal labels export\\|import X`.\n"
    )
    assert list(command_lines(page)) == [
        "release x   --json",
        "doctor",
        "up",
        "labels export X",
        "labels import X",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_the_documentation_exists(page):
    lines = list(command_lines(page.read_text(encoding="utf-8")))
    assert [f"{line}: {what}" for line in lines if (what := unknown(line))] == []


def test_containers_are_given_whole_commands_as_images_have_no_entry_point():
    images = "".join(path.read_text() for path in (ROOT / "infra").glob("Dockerfile*"))
    assert "\nENTRYPOINT" not in images
    given = {(page.name, word) for page in PAGES for word in IN_CONTAINER.findall(page.read_text())}
    assert {page for page, _ in given} == {"README.md", "compose.md"}
    assert {word for _, word in given} <= {"foveal", "tar", "prefect", "mlflow", "python"}


def test_every_make_target_in_the_documentation_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    benches = re.search(
        r"^BENCHES := ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert benches is not None
    targets |= {f"bench-{name}" for name in benches[1].replace("\\\n", " ").split()}
    used = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"`make ([a-z-]+)`", page.read_text())
    }
    assert {(page, name) for page, name in used if name not in targets} == set()


def test_every_event_of_the_code_is_documented_and_the_other_way_round():
    source = "".join(path.read_text() for path in (ROOT / "flows").rglob("*.py"))
    from components.monitoring import AlertStatus

    page = (ROOT / "docs" / "reference" / "events.md").read_text()
    expanded = (
        source.replace("{alert.status.value}", AlertStatus.FIRING)
        + f"foveal.alert.{AlertStatus.RESOLVED}"
    )
    pattern = r"foveal\.(?:drift|alert)\.[a-z_]+"
    assert set(re.findall(pattern, page)) == set(re.findall(pattern, expanded))


def test_every_variable_that_the_code_reads_is_documented_and_the_other_way_round():
    """Except what is only handed on to a child."""
    packages = ("components", "flows", "foveal", "model_registry")
    source = "".join(
        path.read_text() for package in packages for path in (ROOT / package).rglob("*.py")
    )
    read = set(re.findall(r'environ(?:ment)?\.get\("([A-Z_]+)"', source)) - {"PYTHONPATH"}
    page = (ROOT / "docs" / "reference" / "environment.md").read_text()
    firsts = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", "".join(firsts))) == read


def test_every_metric_of_the_code_is_documented_and_the_other_way_round():
    source = (ROOT / "flows" / "services" / "metrics.py").read_text()
    page = (ROOT / "docs" / "reference" / "events.md").read_text()
    aliases = {
        f"foveal_{alias}_version" for alias in ("champion", "previous_champion", "challenger")
    }
    assert set(re.findall(r"`(foveal_[a-z_]+)`", page)) - aliases == set(
        re.findall(r'"(foveal_[a-z_]+)"', source)
    )


def test_the_systems_service_lets_foveal_up_stop_its_services_in_order_and_in_time():
    from flows.services.supervisor import RestartPolicy

    page = (ROOT / "docs" / "operations" / "up.md").read_text()
    unit = ConfigParser(interpolation=None)
    unit.read_string(page.partition("```ini\n")[2].partition("```")[0])
    service = unit["Service"]
    assert service["KillMode"] == "mixed", "SIGTERM to the first process alone"
    assert service.getfloat("TimeoutStopSec") > RestartPolicy().stop_s
    assert Path(service["ExecStart"].split()[0]).is_relative_to(service["WorkingDirectory"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site."""
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", place],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return place


@pytest.mark.slow
def test_it_fetches_nothing_from_elsewhere(site):
    """A link may lead out; a script, a style, a font or a picture may not come in."""
    loaded = re.compile(
        r"""<(?:script|img|iframe)[^>]*\ssrc="?(https?:|//)"""
        r"""|<link(?![^>]*rel="?canonical)[^>]*href="?(https?:|//)"""
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    assert [page.name for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []
    styles = [
        path
        for path in site.rglob("*.css")
        if re.search(r"url\(['\"]?(https?:)?//", path.read_text())
    ]
    assert styles == []


@pytest.mark.slow
def test_reference_pages_are_made_from_the_code(site):
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert all(
        text in commands for text in ("foveal release", "foveal bundle verify", "--trust-pickle")
    )
    fields = (site / "reference" / "configuration.html").read_text(encoding="utf-8")
    assert all(
        text in fields for text in ("ReleaseConfig", "calibration_images", "128", "cooldown_hours")
    )
    assert "rank_for_labels" in (site / "reference" / "python" / "monitoring.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_every_decision_record_is_in_the_navigation(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    records = [path.stem for path in (ROOT / "docs" / "decisions").glob("*.md")]
    assert records and all(f"decisions/{name}.html" in front for name in records)
