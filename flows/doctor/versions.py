"""Installed libraries against those asked for and tested, and owners of Foveal's packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from flows.doctor.finding import Finding, State

# in a clone; an installed wheel has none
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
_OPENCV = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "opencv-python-headless",
)
_SHARED_FOLDERS = (  # distributions that write into one folder; the last is the one to keep
    ("onnxruntime", "onnxruntime-gpu"),
    _OPENCV,
    ("ultralytics", "ultralytics-opencv-headless"),
)
_USERS_EXTRAS = ("yolo", "gpu")
# PyPI has other distributions with such packages
PACKAGES = ("foveal", "flows", "components", "model_registry")
_IN_OURS = re.compile(rf"^({'|'.join(PACKAGES)})/", re.MULTILINE)


@dataclass(frozen=True)
class Asked:
    """Versions that a release of Foveal asks for.

    Arguments:
        version: of Foveal.
        python: versions of Python, e.g. ``">=3.11"``.
        requirements: as in its metadata, e.g. ``"pandas>=2.3,<3.1"``.
    """

    version: str
    python: str
    requirements: tuple[str, ...]


def examine() -> list[Finding]:
    """Check this interpreter and what is installed for it."""
    try:
        foveal = importlib.metadata.distribution("foveal")
    except importlib.metadata.PackageNotFoundError:
        return [
            Finding(
                "foveal",
                State.FAIL,
                "not installed for this Python",
                "pip install -c constraints.txt -e .",
            )
        ]
    asked = Asked(foveal.version, foveal.metadata["Requires-Python"], tuple(foveal.requires or ()))
    installed: dict[str, str] = {}
    for (
        found
    ) in importlib.metadata.distributions():  # the first of a name is the one that is imported
        installed.setdefault(canonicalize_name(found.metadata["Name"]), found.version)
    tested = _tested(CONSTRAINTS.read_text()) if CONSTRAINTS.exists() else {}
    return [*judge(platform.python_version(), asked, installed, tested), *examine_packages()]


def judge(
    python: str, asked: Asked, installed: Mapping[str, str], tested: Mapping[str, str]
) -> list[Finding]:
    """Compare installed versions with those asked for and those tested.

    Arguments:
        python: the version of Python.
        asked: what Foveal asks for.
        installed: versions by canonical name.
        tested: the versions that were tested together, by canonical name; may be empty.
    """
    fits = SpecifierSet(asked.python).contains(python, prereleases=True)
    hint = "" if fits else f"make the virtual environment with a Python {asked.python}"
    findings = [Finding("python", State.OK if fits else State.FAIL, python, hint)]
    findings += [*_misfits(asked, installed), *_doubles(installed)]
    needed = {str(canonicalize_name(one.name)) for one in _requirements(asked)} & set(installed)
    if len(findings) == 1:
        findings.append(
            Finding(
                "libraries", State.OK, f"{len(needed)}, each as Foveal {asked.version} asks for it"
            )
        )
    findings += _untested(needed, installed, tested)
    return findings


def examine_packages() -> list[Finding]:
    """Check that no other distribution overwrote or hides Foveal's import packages.

    A foreign `model_registry` is one whose files another distribution installed over ours, or that
    is found earlier on the path.
    """
    foreign = {package: names - {"foveal"} for package, names in owners().items()}
    overwritten = [_overwritten(package, names) for package, names in foreign.items() if names]
    root = _installed_root()
    elsewhere = (
        []
        if root is None
        else [_elsewhere(package, root) for package in PACKAGES if not foreign[package]]
    )
    problems = [*overwritten, *filter(None, elsewhere)]
    return problems or [Finding("packages", State.OK, f"{', '.join(PACKAGES)} are Foveal's own")]


def owners() -> dict[str, set[str]]:
    """Names of the distributions that install each of our import packages, by package."""
    found: dict[str, set[str]] = {package: set() for package in PACKAGES}
    for distribution in importlib.metadata.distributions():
        declared = set((distribution.read_text("top_level.txt") or "").split())
        for package in {
            *_IN_OURS.findall(distribution.read_text("RECORD") or ""),
            *declared.intersection(PACKAGES),
        }:
            found[package].add(str(canonicalize_name(distribution.metadata["Name"])))
    return found


def _overwritten(package: str, names: set[str]) -> Finding:
    others = " and ".join(sorted(names))
    hint = f"pip uninstall -y {' '.join(sorted(names))}, then install Foveal again"
    return Finding(
        package, State.FAIL, f"{others} installs a package of this name over Foveal's", hint
    )


def _installed_root() -> Path | None:
    """Return the folder with our packages as installed; None if the distribution is not there."""
    try:
        foveal = importlib.metadata.distribution("foveal")
    except importlib.metadata.PackageNotFoundError:
        return None
    source = json.loads(foveal.read_text("direct_url.json") or "{}")
    if source.get("dir_info", {}).get("editable"):
        return Path(url2pathname(urlsplit(source["url"]).path)).resolve()
    return Path(str(foveal.locate_file(""))).resolve()


def _elsewhere(package: str, root: Path) -> Finding | None:
    """Find a package that is imported from elsewhere than where Foveal is installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return Finding(package, State.FAIL, "cannot be imported", "install Foveal again")
    place = Path(spec.origin).resolve().parents[1]
    if place == root:
        return None
    found = f"imported from {place}, but Foveal is installed in {root}"
    return Finding(package, State.WARN, found, "rename that folder, or take it out of PYTHONPATH")


def _requirements(asked: Asked, extra: str = "") -> list[Requirement]:
    parsed = [Requirement(text) for text in asked.requirements]
    plain = [one for one in parsed if not one.marker or one.marker.evaluate({"extra": ""})]
    if not extra:
        return plain
    return [
        one
        for one in parsed
        if one not in plain and one.marker and one.marker.evaluate({"extra": extra})
    ]


def _misfits(asked: Asked, installed: Mapping[str, str]) -> Iterator[Finding]:
    for requirement in _requirements(asked):
        version = installed.get(canonicalize_name(requirement.name))
        wanted = f"{requirement.name}{requirement.specifier}"
        if version is None:
            yield Finding(requirement.name, State.FAIL, "not installed", f"pip install '{wanted}'")
        elif not requirement.specifier.contains(version, prereleases=True):
            found = f"{version}, but Foveal {asked.version} works with {requirement.specifier}"
            yield Finding(requirement.name, State.FAIL, found, f"pip install '{wanted}'")
    for extra in _USERS_EXTRAS:
        for requirement in _requirements(asked, extra):
            version = installed.get(canonicalize_name(requirement.name))
            if version and not requirement.specifier.contains(version, prereleases=True):
                found = f"{version}, but foveal[{extra}] works with {requirement.specifier}"
                yield Finding(requirement.name, State.WARN, found, f"pip install 'foveal[{extra}]'")


def _doubles(installed: Mapping[str, str]) -> Iterator[Finding]:
    for names in _SHARED_FOLDERS:
        if len(both := [name for name in names if name in installed]) > 1:
            found = "both are installed, and overwrite each other's files"
            hint = (
                f"pip uninstall -y {' '.join(both)} && pip install "
                f"{both[-1]}=={installed[both[-1]]}"
            )
            yield Finding(" and ".join(both), State.FAIL, found, hint)


def _untested(
    needed: set[str], installed: Mapping[str, str], tested: Mapping[str, str]
) -> Iterator[Finding]:
    """Find libraries that Foveal uses in other versions than those that were tested together."""
    other = [
        f"{name} {installed[name]} ({tested[name]})"
        for name in sorted(needed & set(tested))
        if installed[name] != tested[name]
    ]
    if other:
        found = (
            f"{len(other)} differ from those tested together: "
            f"{', '.join(other[:8])}{' …' if other[8:] else ''}"
        )
        yield Finding("tested versions", State.WARN, found, "pip install -c constraints.txt -e .")


def _tested(constraints: str) -> dict[str, str]:
    pinned = (
        line.partition("==")
        for line in constraints.splitlines()
        if "==" in line and not line.startswith("#")
    )
    return {str(canonicalize_name(name)): version.strip() for name, _, version in pinned}
