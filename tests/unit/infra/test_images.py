"""Images: what they hold, how they are pinned and where they are named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.telemetry import SWITCHES
from flows.config.deployments import WorkPoolInput
from tests.unit.infra.files import (
    BIN,
    COMPOSE,
    DEFAULT,
    DOCKERFILES,
    INFRA,
    OURS,
    OVERLAYS,
    PINNED,
    ROOT,
    compose,
    compose_text,
    dockerfile,
    example,
    pods,
)

RUN_RELU = """
import numpy, onnxruntime, pathlib
session = onnxruntime.InferenceSession("relu.onnx", providers=["CPUExecutionProvider"])
answer = session.run(None, {"x": numpy.array([7], "float32")})[0][0]
print(pathlib.Path(onnxruntime.__file__).parent, answer)
"""


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_linter_of_dockerfiles_finds_nothing(name):
    command = [BIN / "hadolint", "--config", ROOT / ".hadolint.yaml", INFRA / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", DOCKERFILES)
def test_everything_an_image_copies_is_in_the_repository_and_not_ignored(name):
    lines = [line.split()[1:] for line in dockerfile(name).splitlines() if line.startswith("COPY")]
    sources = [
        source for parts in lines if not parts[0].startswith("--from") for source in parts[:-1]
    ]
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    assert set(sources) <= kept


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_pinned_in_one_place_quiet_and_no_root(name):
    text = dockerfile(name)
    (base,) = re.findall(r"^ARG BASE=(\S+)", text, re.MULTILINE)
    assert PINNED.fullmatch(base)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "${BASE}"]
    final = text.rpartition("\nFROM ")[2]
    assert {
        switch for switch, value in SWITCHES.items() if f"{switch}={value}" not in final
    } == set()
    assert re.findall(r"^USER (.*)", final, re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_claims_no_health_since_it_knows_no_server_and_compose_asks_each(name):
    assert re.findall(r"^HEALTHCHECK (.*)", dockerfile(name), re.MULTILINE) == ["NONE"]


def test_extras_that_images_install_are_the_projects():
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in DOCKERFILES:
        asked = re.findall(r"EXTRAS=([\w,]+)", dockerfile(name))
        assert asked
        assert {extra for extras in asked for extra in extras.split(",")} <= set(known)


def test_onnxruntime_runs_on_the_processor_without_what_the_cpu_image_removes(tmp_path):
    import onnxruntime
    from onnx import TensorProto, helper

    (removed,) = re.findall(r"rm -f \S+/site-packages/onnxruntime/(\S+)", dockerfile("Dockerfile"))
    kept = shutil.ignore_patterns(Path(removed).name, "__pycache__")
    shutil.copytree(
        Path(onnxruntime.__file__).parent,
        tmp_path / "onnxruntime",
        ignore=kept,
        copy_function=os.symlink,
    )
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "relu.onnx").write_bytes(model.SerializeToString())
    said = subprocess.run(
        [sys.executable, "-c", RUN_RELU], cwd=tmp_path,
        env=os.environ | SWITCHES | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.split() == [str(tmp_path / "onnxruntime"), "7.0"]


@pytest.mark.parametrize("named", [{}, {"FOVEAL_EXTRAS": "servers,yolo"}])
def test_images_are_built_with_the_extras_that_env_names_or_their_own(named, secrets):
    for files, name in ((COMPOSE[:1], "Dockerfile"), (COMPOSE, "Dockerfile.gpu")):
        (own,) = re.findall(r"^ARG EXTRAS=(.*)", dockerfile(name), re.MULTILINE)
        gpu = ",gpu" if name.endswith("gpu") else ""
        worker = json.loads(compose(*files, **secrets, **named).stdout)["services"]["worker"]
        assert worker["build"]["dockerfile"].endswith(name)
        assert worker["build"]["args"]["EXTRAS"] == (
            f"{named['FOVEAL_EXTRAS']}{gpu}" if named else own
        )


def test_a_work_pool_of_containers_takes_its_image_from_the_environment_unless_its_file_names_one(
    monkeypatch,
):
    """Which is how an overlay names it once, for the worker and for the jobs that it starts."""
    monkeypatch.setenv("FOVEAL_IMAGE", "registry.example/foveal:7")
    assert WorkPoolInput(name="pool", type="kubernetes").job_variables == {
        "image": "registry.example/foveal:7"
    }
    assert WorkPoolInput(name="pool", type="process").job_variables["env"] == {
        "PYTHONSAFEPATH": "1"
    }
    assert WorkPoolInput(name="pool", type="docker", image="foveal:1").image == "foveal:1"
    assert WorkPoolInput(name="pool", type="process").image is None
    monkeypatch.delenv("FOVEAL_IMAGE")
    with pytest.raises(ValueError, match="expected an image"):
        WorkPoolInput(name="pool", type="kubernetes")


def test_what_runs_flows_shares_one_image_and_servers_another_that_is_named_once(overlay):
    """Dask's scheduler, workers and runs exchange Python objects and paths of the image."""
    name, objects = overlay
    images: dict[str, set[str]] = {}
    for what, pod in pods(objects):
        images[what] = {
            one["image"] for one in [*pod.get("initContainers", []), *pod["containers"]]
        }
    own = example()["FOVEAL_GPU_IMAGE" if name == "gpu" else "FOVEAL_IMAGE"]
    assert {what for what, used in images.items() if used == {own}} >= {
        "dask",
        "dask-worker",
        "worker",
        "a run",
    }
    servers = {"prefect", "mlflow", "evidently", "metrics"}
    assert {one for server in servers for one in images[server]} == {example()["FOVEAL_IMAGE"]}


def test_the_version_of_the_images_is_named_in_one_place_for_compose_and_one_for_each_overlay():
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    files = [
        path
        for path in INFRA.rglob("*")
        if path.is_file() and path.suffix not in {".md", ".txt", ".pyc"}
    ]
    naming = {
        str(path.relative_to(INFRA))
        for path in files
        if re.search(rf"{version}\b", path.read_text())
    }
    assert naming == {
        ".env.example",
        *(f"kubernetes/overlays/{one}/kustomization.yaml" for one in OVERLAYS),
    }
    assert example()["FOVEAL_IMAGE"] == f"{OURS}{version}"
    assert example()["FOVEAL_GPU_IMAGE"] == f"{OURS}{version}-gpu"
    pages = "".join(
        path.read_text() for path in [INFRA / "README.md", *(ROOT / "docs").rglob("*.md")]
    )
    assert set(re.findall(r"\bfoveal:(\d[\w.]*\d)", pages)) == {version}


def test_images_of_others_carry_a_digest_and_are_the_same_in_compose_and_on_the_cluster(overlay):
    defaults = dict(DEFAULT.findall(compose_text()))
    others = {name: image for name, image in defaults.items() if name.endswith("_IMAGE")}
    assert set(others) == {name for name in example() if name.endswith("_IMAGE")} - {
        "FOVEAL_IMAGE",
        "FOVEAL_GPU_IMAGE",
    }
    assert {name for name, image in others.items() if "@sha256:" not in image} == set()
    assert all(PINNED.fullmatch(image) for image in others.values())
    foreign = {pod["containers"][0]["image"] for _, pod in pods(overlay[1])}
    assert {image for image in foreign if not image.startswith(OURS)} == {others["POSTGRES_IMAGE"]}
