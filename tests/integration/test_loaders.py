"""Every foreign loader opens models of every kind in a folder full of traps, without a network."""

from __future__ import annotations

import os
import sys

from tests.conftest import MODEL, clean_environment
from tests.network import recorded

LOADERS = """
import shutil, sys
from pathlib import Path
import numpy as np, onnx, torch
from components.backends import get_backend
from components.contracts import Precision
from components.optimize import ModelOptions, PassContext, make_variants, open_model
from components.optimize.opening.torchscript import TraceTorchScript
from components.training.checkpoint import (
    Checkpoint, build_network, load_checkpoint, save_checkpoint
)

place, made = Path("it's yolov5"), Path("made")
place.mkdir()
traps = "yolov5nu.pt", "yolov5n.pt.data", "yolov3u.pt", "weights.bin", "model.xml", "model.bin"
for trap in traps:
    (place / trap).write_bytes(b"another model")

names = [f"class {k}" for k in range(4)]
shutil.copy(sys.argv[1], place / "yolov5n.pt")
network = build_network("squeezenet1_1", 4, 64)
save_checkpoint(place / "resnet18.pt", Checkpoint("squeezenet1_1", tuple(names), 64, network))
torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 64, 64)), place / "yolov3.pt")
torch.onnx.export(
    network, (torch.zeros(1, 3, 64, 64),), place / "whole.onnx", dynamo=False, opset_version=17,
    dynamic_axes={"input": {0: "n"}, "logits": {0: "n"}},
    input_names=["input"], output_names=["logits"],
)
onnx.save(
    onnx.load(place / "whole.onnx"), place / "yolo11n.onnx",
    save_as_external_data=True, location="yolo11n.data", size_threshold=0,
)
load_checkpoint(place / "resnet18.pt")

told = {"task": "classify", "class_names": names, "image_size": 64}
opened = {}
asked = {"yolov5n.pt": {}, "resnet18.pt": {}, "yolov3.pt": told, "yolo11n.onnx": told}
for name, about in asked.items():
    options = ModelOptions(trust_pickle=True, **about)
    opened[name] = open_model(place / name, options, workdir=made / name)
    print(name, len(opened[name].spec.class_names))

rng = np.random.default_rng(0)
source = opened["resnet18.pt"]
inputs = [rng.integers(0, 256, (*source.spec.input_size, 3), np.uint8) for _ in range(4)]
for variant in make_variants(source, (Precision.INT8,), PassContext(made, calibration=inputs)):
    for backend in ("onnxruntime", "openvino"):
        with get_backend(backend).open(variant) as session:
            session.run(inputs[0][None])
"""


def test_all_loaders_take_the_file_that_was_meant_and_ask_nobody(tmp_path):
    home = tmp_path / "user"
    home.mkdir()
    env = clean_environment(tmp_path / "root") | {"HOME": str(home), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", LOADERS, MODEL]
    (done,) = recorded([command], env=env | {"PYTHONPATH": os.pathsep.join(sys.path)}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:4] == [
        "yolov5n.pt 10",
        "resnet18.pt 4",
        "yolov3.pt 4",
        "yolo11n.onnx 4",
    ]
    assert done.asked == ()
    assert [str(path) for path in home.rglob("*") if path.is_file()] == []
