"""The files with hashes that images install: complete, of tested versions, the only ones taken."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = ("servers", "dask", "kubernetes", "docker", "yolo")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@cache
def lines(name: str) -> tuple[tuple[Requirement, str], ...]:
    """Each requirement of a file, with the options of its line."""
    text = (FOLDER / f"{name}.txt").read_text().replace("\\\n", " ")
    whole = [line for line in text.splitlines() if not line.startswith("#")]
    return tuple(
        (Requirement(line.partition(" --")[0]), line.partition(" --")[2]) for line in whole
    )


def pins(*names: str) -> dict[str, str]:
    """Version by name of what such files install here."""
    found = [
        one
        for name in names
        for one, _ in lines(name)
        if one.marker is None or one.marker.evaluate()
    ]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in found}


def closure(wanted: Iterable[str], inside: dict[str, str]) -> set[str]:
    """List everything that requirements lead to, by what installed packages say."""
    seen: set[str] = set()
    waiting = [Requirement(one) for one in wanted]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        extras = ("", *sorted(one.extras))
        if (
            one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in extras)
        ) or name in seen:
            continue
        seen.add(name)
        if name in inside:
            try:
                needs = [Requirement(need) for need in requires(name) or ()]
            except PackageNotFoundError:
                # what `make install` leaves out: workers for Docker and Kubernetes
                continue
            waiting += [
                need
                for need in needs
                if need.marker is None
                or any(need.marker.evaluate({"extra": extra}) for extra in extras)
            ]
    return seen


@pytest.mark.parametrize("name", ["base", "torch", *LOCKED])
def test_every_line_is_one_exact_version_with_the_hashes_of_its_files(name):
    assert lines(name)
    for requirement, options in lines(name):
        assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), requirement
        assert all(HASH.fullmatch(f"--{option.strip()}") for option in options.split("--")), (
            requirement
        )


@pytest.mark.parametrize("name", ["base", "torch", *LOCKED])
def test_versions_are_those_that_are_tested_together(name):
    pinned = (
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    tested = {canonicalize_name(package): version for package, version in pinned}
    here = pins(name)
    assert {
        package: version
        for package, version in here.items()
        if tested.get(package, version) != version
    } == {}
    assert len(set(here) - set(tested)) < 5, "make lock"


@pytest.mark.parametrize("extra", ["", *LOCKED])
def test_whatever_an_image_needs_is_locked(extra):
    """As installed packages say; so a dependency added without `make lock` is found."""
    wanted = [*PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] if extra else ())]
    files = ("base", "torch", *([extra] if extra else ()))
    missing = closure(wanted, pins(*files)) - set(pins(*files))
    assert missing == set()


def test_what_is_under_the_agpl_is_in_a_file_that_has_to_be_asked_for():
    assert "ultralytics-opencv-headless" in pins("yolo")
    assert "ultralytics-opencv-headless" not in pins(
        *(name for name in ("base", "torch", *LOCKED) if name != "yolo")
    )


def test_every_extra_of_an_image_has_a_file():
    for name in ("Dockerfile", "Dockerfile.gpu"):
        (default,) = re.findall(
            r"^ARG EXTRAS=(.*)", (ROOT / "infra" / name).read_text(), re.MULTILINE
        )
        assert {
            extra for extra in default.split(",") if not (FOLDER / f"{extra}.txt").exists()
        } == set()


@pytest.mark.parametrize(
    ("name", "parts"), [("Dockerfile", "base $EXTRAS"), ("Dockerfile.gpu", "base torch $EXTRAS")]
)
def test_images_take_no_file_whose_hash_is_not_named(name, parts):
    text = (ROOT / "infra" / name).read_text().replace("\\\n", " ")
    assert f"for part in {parts};" in text
    first = re.search(r"pip install [^\n]*--requirement requirements\.txt", text)
    assert first is not None and "--require-hashes" in first[0] and "--no-deps" in first[0]
    (project,) = re.findall(r'pip install ([^\n]*) "\.\[\$EXTRAS\]"', text)
    assert "--no-build-isolation" in project, "building takes nothing from an index either"
    assert ("--no-index" in project) is (name == "Dockerfile"), (
        "TensorRT's packages alone are left for the other one"
    )
