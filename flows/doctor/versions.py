"""Do the installed libraries fit: to what Foveal asks for, to each other, and to what was tested?"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from flows.doctor.finding import Finding, State

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"  # in a clone; an installed wheel has none
_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless", "opencv-python-headless")
_SHARED_FOLDERS = (  # distributions that write into one folder; the last is the one to keep
    ("onnxruntime", "onnxruntime-gpu"),
    _OPENCV,
    ("ultralytics", "ultralytics-opencv-headless"),
)
_USERS_EXTRAS = ("yolo", "gpu")


@dataclass(frozen=True)
class Asked:
    """What a release of Foveal asks for.

    Arguments:
        version: of Foveal.
        python: versions of Python, e.g. ``">=3.11"``.
        requirements: as in its metadata, e.g. ``"pandas>=2.3,<3.1"``.
    """

    version: str
    python: str
    requirements: tuple[str, ...]


def examine() -> list[Finding]:
    """Judge this interpreter and what is installed for it."""
    try:
        foveal = importlib.metadata.distribution("foveal")
    except importlib.metadata.PackageNotFoundError:
        return [Finding("foveal", State.FAIL, "not installed for this Python", "pip install -c constraints.txt -e .")]
    asked = Asked(foveal.version, foveal.metadata["Requires-Python"], tuple(foveal.requires or ()))
    installed: dict[str, str] = {}
    for found in importlib.metadata.distributions():  # the first of a name is the one that is imported
        installed.setdefault(canonicalize_name(found.metadata["Name"]), found.version)
    tested = _tested(CONSTRAINTS.read_text()) if CONSTRAINTS.exists() else {}
    return judge(platform.python_version(), asked, installed, tested)


def judge(python: str, asked: Asked, installed: Mapping[str, str], tested: Mapping[str, str]) -> list[Finding]:
    """Judge versions.

    Arguments:
        python: the version of Python.
        asked: what Foveal asks for.
        installed: versions by canonical name.
        tested: the versions that were tested together, by canonical name; may be empty.
    """
    fits = SpecifierSet(asked.python).contains(python, prereleases=True)
    mend = "" if fits else f"make the virtual environment with a Python {asked.python}"
    findings = [Finding("python", State.OK if fits else State.FAIL, python, mend)]
    findings += [*_misfits(asked, installed), *_doubles(installed)]
    needed = {str(canonicalize_name(one.name)) for one in _requirements(asked)} & set(installed)
    if len(findings) == 1:
        findings.append(Finding("libraries", State.OK, f"{len(needed)}, each as Foveal {asked.version} asks for it"))
    findings += _untested(needed, installed, tested)
    return findings


def _requirements(asked: Asked, extra: str = "") -> list[Requirement]:
    parsed = [Requirement(text) for text in asked.requirements]
    plain = [one for one in parsed if not one.marker or one.marker.evaluate({"extra": ""})]
    if not extra:
        return plain
    return [one for one in parsed if one not in plain and one.marker and one.marker.evaluate({"extra": extra})]


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
            mend = f"pip uninstall -y {' '.join(both)} && pip install {both[-1]}=={installed[both[-1]]}"
            yield Finding(" and ".join(both), State.FAIL, found, mend)


def _untested(needed: set[str], installed: Mapping[str, str], tested: Mapping[str, str]) -> Iterator[Finding]:
    """What differs, of the libraries that Foveal itself uses, from the versions that were tested together."""
    other = [
        f"{name} {installed[name]} ({tested[name]})"
        for name in sorted(needed & set(tested))
        if installed[name] != tested[name]
    ]
    if other:
        found = f"{len(other)} differ from those tested together: {', '.join(other[:8])}{' …' if other[8:] else ''}"
        yield Finding("tested versions", State.WARN, found, "pip install -c constraints.txt -e .")


def _tested(constraints: str) -> dict[str, str]:
    pinned = (line.partition("==") for line in constraints.splitlines() if "==" in line and not line.startswith("#"))
    return {str(canonicalize_name(name)): version.strip() for name, _, version in pinned}
