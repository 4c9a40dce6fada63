"""A champion can be retrained or not by what its file holds, whatever the file is called."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from components.backends.yolo import is_ultralytics
from components.contracts import ModelVersion
from components.optimize.opening.checkpoint import load_torch
from components.training.checkpoint import Checkpoint, build_network, save_checkpoint
from flows.tasks.readiness import why_untrainable
from tests.conftest import MODEL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

CHAMPION = ModelVersion("parts", 3, "run")


class Doubled(torch.nn.Module):
    """A network that is quickly traced."""

    def forward(self, inputs):
        return inputs * 2


def ours(path: Path) -> None:
    network = build_network("mobilenet_v3_small", 2, 32)
    save_checkpoint(path, Checkpoint("mobilenet_v3_small", ("a", "b"), 32, network))


def ultralytics(path: Path) -> None:
    shutil.copy(MODEL, path)


def before_zip(path: Path) -> None:
    contents = torch.load(MODEL, weights_only=False)
    torch.save(contents, path, _use_new_zipfile_serialization=False)


def traced(path: Path) -> None:
    torch.jit.trace(Doubled(), torch.zeros(1)).save(path)


def traced_yolo(path: Path) -> None:
    """Its pickle names Ultralytics' classes, as that of a checkpoint does."""
    model = load_torch(MODEL, trust=True).module
    torch.jit.trace(model, torch.zeros(1, 3, 64, 64), check_trace=False).save(path)


def bare_weights(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def text(path: Path) -> None:
    path.write_text("not a model")


@pytest.mark.parametrize(
    ("write", "name", "task", "wanted"),
    [
        (ours, "model.pt", "classify", ""),
        (ours, "best.pth", "classify", ""),
        (ultralytics, "best.pt", "detect", ""),
        (ultralytics, "best.ckpt", "detect", ""),
        (before_zip, "old.pt", "detect", ""),
        (ultralytics, "best-cls.pt", "classify", "Foveal's own classifier training"),
        (ours, "model.pt", "detect", "of Ultralytics"),
        (traced, "traced.pt", "classify", "Foveal's own classifier training"),
        (traced, "traced.pt", "detect", "of Ultralytics"),
        (traced_yolo, "best.torchscript.pt", "detect", "of Ultralytics"),
        (bare_weights, "weights.pt", "classify", "Foveal's own classifier training"),
        (text, "model.onnx", "detect", "of Ultralytics"),
        (text, "model.pt", "detect", "of Ultralytics"),
        (ultralytics, "best-seg.pt", "segment", "not segment"),
    ],
)
def test_what_a_file_holds_says_whether_training_goes_on_from_it(
    write, name, task, wanted, tmp_path
):
    write(tmp_path / name)
    why = why_untrainable(CHAMPION, tmp_path / name, task)
    assert bool(why) is bool(wanted) and wanted in why
    if wanted:
        assert why.startswith(f"parts/3 was released from {name}; training ")


def test_a_champion_whose_file_was_not_kept_is_named():
    why = why_untrainable(CHAMPION, Path("a file that was not kept"), "detect")
    assert why.startswith("parts/3 was released from a file that was not kept; ")


def test_a_traced_yolo_does_not_ask_for_ultralytics(tmp_path):
    traced_yolo(tmp_path / "best.pt")
    assert not is_ultralytics(tmp_path / "best.pt")
