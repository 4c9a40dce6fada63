from __future__ import annotations

import os
import zipfile

import pytest
import torch
import torchvision

from components.contracts import Fit
from components.errors import ModelError, UntrustedModelError
from components.optimize import ModelOptions, open_model, remarks_on


@pytest.fixture(scope="module")
def contents():
    torch.manual_seed(0)
    return {
        "foveal_classifier": 1,
        "architecture": "squeezenet1_1",
        "class_names": ["cat", "dog", "owl"],
        "image_size": 64,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.3],
        "state_dict": torchvision.models.squeezenet1_1(num_classes=3).state_dict(),
    }


def test_foveals_classifier_needs_no_trust(contents, tmp_path):
    torch.save(contents, tmp_path / "model.pt")
    artifact = open_model(tmp_path / "model.pt", workdir=tmp_path)
    assert artifact.spec.class_names == ("cat", "dog", "owl")
    assert artifact.spec.input_size == (64, 64)
    assert artifact.spec.fit is Fit.STRETCH
    assert artifact.spec.head == "logits"
    assert artifact.history[0].parameters["mean"] == [0.5, 0.4, 0.3]
    assert not any("model.output" in remark for remark in remarks_on(artifact))


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "os.system"},
        {"architecture": "resnet18"},
        {"class_names": ["cat", "dog"]},
        {"mean": [0.5]},
        {"fit": "fold"},
        {"image_size": "large"},
    ],
    ids=str,
)
def test_a_classifier_that_contradicts_itself_is_refused(change, contents, tmp_path):
    torch.save(contents | change, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="whole Foveal classifier"):
        open_model(tmp_path / "model.pt", workdir=tmp_path / "work")


def test_bare_weights_say_no_network(contents, tmp_path):
    torch.save(contents["state_dict"], tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="bare weights"):
        open_model(
            tmp_path / "weights.pt", ModelOptions(trust_pickle=True), workdir=tmp_path / "work"
        )


def test_no_code_of_a_checkpoint_runs_without_trust(tmp_path):
    class Boom:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"foveal_classifier": 1, "model": Boom()}, tmp_path / "evil.pt")
    with pytest.raises(UntrustedModelError):
        open_model(tmp_path / "evil.pt", workdir=tmp_path / "work")
    assert not (tmp_path / "executed").exists()


@pytest.mark.filterwarnings(
    "ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning"
)
def test_torchscript_needs_trust_and_then_opens(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(num_classes=3).eval()
    path = tmp_path / "model.torchscript"
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 64, 64)), str(path))
    with pytest.raises(UntrustedModelError, match="TorchScript"):
        open_model(path, ModelOptions(image_size=64), workdir=tmp_path / "work")
    artifact = open_model(
        path, ModelOptions(image_size=64, trust_pickle=True), workdir=tmp_path / "work"
    )
    assert artifact.outputs[0].shape == ("batch", 3)
    with pytest.raises(ModelError, match="image_size"):
        open_model(path, ModelOptions(trust_pickle=True), workdir=tmp_path / "work")


def test_an_archive_that_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 120_000_000)
    with pytest.raises(ModelError, match="unpacks from"):
        open_model(tmp_path / "bomb.pt", ModelOptions(trust_pickle=True), workdir=tmp_path / "work")


def test_a_truncated_checkpoint_is_refused(contents, tmp_path):
    torch.save(contents, tmp_path / "model.pt")
    data = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError):
        open_model(
            tmp_path / "model.pt", ModelOptions(trust_pickle=True), workdir=tmp_path / "work"
        )
