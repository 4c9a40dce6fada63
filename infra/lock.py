"""Write infra/requirements/ for the images: every file that pip may take is named by its hash.

`base.txt` is always installed, `torch.txt` holds PyTorch, which the CPU image takes from PyTorch's
own index, and each extra has a file with what it adds. Run by `make lock`, which has uv at hand;
versions are those of constraints.txt.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "infra" / "requirements"
EXTRAS = ("servers", "dask", "kubernetes", "docker", "yolo")
UNLOCKED = {
    "gpu": "# TensorRT's packages fetch their libraries from NVIDIA when they are built: hashes "
    "prove nothing.\n"
}
PYTHONS = ((3, 11), (3, 12))  # of infra/Dockerfile, and of Ubuntu in infra/Dockerfile.gpu
MACHINES = ("x86_64", "aarch64")
NEWEST_GLIBC = 36  # 2.36, of Debian 12; Ubuntu's is newer
TORCH = re.compile(r"torch|torchvision|triton|(nvidia|cuda)-.+")
HEADER = "# Made by `make lock` from pyproject.toml and constraints.txt.\n"


def main() -> int:
    """Write all files; what an extra needs that is always there is not repeated."""
    OUTPUT.mkdir(exist_ok=True)
    always = resolve()
    parts = {
        "base": {name: found for name, found in always.items() if not TORCH.fullmatch(name)},
        "torch": {name: found for name, found in always.items() if TORCH.fullmatch(name)},
    }
    for extra in EXTRAS:
        parts[extra] = {
            name: found for name, found in resolve("--extra", extra).items() if name not in always
        }
    for name, packages in parts.items():
        text = "".join(requirement(packages[one]) for one in sorted(packages))
        (OUTPUT / f"{name}.txt").write_text(HEADER + text, encoding="utf-8")
        sys.stdout.write(f"{name}: {len(packages)} packages\n")
    for name, text in UNLOCKED.items():
        (OUTPUT / f"{name}.txt").write_text(text, encoding="utf-8")
    return 0


def resolve(*options: str) -> dict[str, dict[str, Any]]:
    """Packages that some image needs, by name, as uv writes them."""
    command = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version",
        "3.11",
        "--format",
        "pylock.toml",
    ]
    command += ["--constraint", "constraints.txt", *options, "pyproject.toml"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    found = tomllib.loads(done.stdout)["packages"]
    return {package["name"]: package for package in found if needed(package.get("marker", ""))}


def needed(marker: str) -> bool:
    """Tell whether a package belongs to any of the images."""
    return not marker or any(Marker(marker).evaluate(environment) for environment in environments())


def environments() -> Iterator[Mapping[str, str]]:
    """Yield what markers ask about, for each image on each processor."""
    for major, minor in PYTHONS:
        for machine in MACHINES:
            yield {
                "implementation_name": "cpython",
                "os_name": "posix",
                "platform_machine": machine,
                "platform_python_implementation": "CPython",
                "platform_system": "Linux",
                "python_full_version": f"{major}.{minor}.4",
                "python_version": f"{major}.{minor}",
                "sys_platform": "linux",
            }


def requirement(package: Mapping[str, Any]) -> str:
    """A pinned line with the hashes of the wheels that the images can take."""
    marker = f" ; {package['marker']}" if "marker" in package else ""
    hashes = sorted(
        {wheel["hashes"]["sha256"] for wheel in package.get("wheels", ()) if fits(wheel)}
    )
    if not hashes:
        sys.exit(
            f"no wheel of {package['name']} {package['version']} fits the images; building one is "
            "not locked"
        )
    lines = [
        f"{package['name']}=={package['version']}{marker}",
        *(f"--hash=sha256:{one}" for one in hashes),
    ]
    return " \\\n    ".join(lines) + "\n"


def fits(wheel: Mapping[str, Any]) -> bool:
    """Tell whether pip in some image would take this file."""
    name = wheel.get("name") or wheel["url"].rpartition("/")[2]
    return not parse_wheel_filename(name)[3].isdisjoint(TAGS)


def tags() -> Iterable[Tag]:
    """Everything that pip takes in the images."""
    glibc = [f"manylinux_2_{minor}" for minor in range(5, NEWEST_GLIBC + 1)]
    platforms = [
        f"{kind}_{m}"
        for m in MACHINES
        for kind in (*glibc, "manylinux1", "manylinux2010", "manylinux2014")
    ]
    for version in PYTHONS:
        yield from cpython_tags(version, platforms=platforms)
        yield from compatible_tags(
            version, interpreter="cp{}{}".format(*version), platforms=platforms
        )


TAGS = frozenset(tags())

if __name__ == "__main__":
    sys.exit(main())
