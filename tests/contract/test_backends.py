"""One suite over every backend that can run on this machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision

from components.backends import BACKENDS, available_backends, get_backend
from components.contracts import Format
from components.errors import ModelError, UnavailableError
from components.optimize import PassContext, open_model
from components.optimize.meaning import StatedMeaning
from components.optimize.opening.checkpoint import describe_checkpoint
from components.optimize.opening.torchscript import TraceTorchScript

AVAILABLE = available_backends()
pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning"
)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """The same network in every format: a small torchvision classifier with random weights."""
    folder = tmp_path_factory.mktemp("backends")
    torch.manual_seed(0)
    checkpoint = {
        "foveal_classifier": 1,
        "architecture": "squeezenet1_1",
        "class_names": list("abcde"),
        "image_size": 64,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.3],
        "state_dict": torchvision.models.squeezenet1_1(num_classes=5).state_dict(),
    }
    torch.save(checkpoint, folder / "model.pt")
    described, normalisation = describe_checkpoint(
        folder / "model.pt", StatedMeaning(), trust=False
    )
    return {
        Format.ONNX: open_model(folder / "model.pt", workdir=folder),
        Format.TORCHSCRIPT: TraceTorchScript(normalisation).apply(described, PassContext(folder)),
        Format.TORCH: described,
    }


@pytest.fixture
def artifact_for(artifacts):
    return lambda name: artifacts[next(iter(get_backend(name).formats))]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(3).integers(0, 256, (3, 64, 64, 3), np.uint8)


def test_the_cpu_backends_are_here():
    assert {"onnxruntime", "openvino", "torch"} <= set(AVAILABLE)


@pytest.mark.parametrize("name", AVAILABLE)
def test_all_backends_agree(name, artifacts, artifact_for, images):
    with get_backend("onnxruntime").open(artifacts[Format.ONNX], threads=1) as session:
        expected = session.run(images)
    with get_backend(name).open(artifact_for(name), threads=1) as session:
        found = session.run(images)
    assert len(found) == len(artifact_for(name).outputs)
    assert found[0].dtype == np.float32
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", AVAILABLE)
def test_a_batch_gives_what_its_images_give_one_by_one(name, artifact_for, images):
    with get_backend(name).open(artifact_for(name), threads=1) as session:
        together = session.run(images)[0]
        apart = np.concatenate([session.run(image[None])[0] for image in images])
    np.testing.assert_allclose(together, apart, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", AVAILABLE)
def test_an_earlier_result_is_not_overwritten_by_the_next(name, artifact_for, images):
    with get_backend(name).open(artifact_for(name), threads=1) as session:
        first = session.run(images[:1])[0]
        kept = first.copy()
        session.run(images[1:2])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 3, 64, 64), np.uint8),
        np.zeros((1, 32, 64, 3), np.uint8),
        np.zeros((0, 64, 64, 3), np.uint8),
        [[0]],
    ],
    ids=["float", "no batch", "channels first", "size", "empty", "list"],
)
def test_a_batch_of_another_kind_is_refused(name, wrong, artifact_for):
    with (
        get_backend(name).open(artifact_for(name), threads=1) as session,
        pytest.raises(ModelError, match="expected a"),
    ):
        session.run(wrong)


@pytest.mark.parametrize("name", AVAILABLE)
def test_a_file_that_has_changed_is_refused(name, artifact_for, tmp_path):
    artifact = artifact_for(name)
    changed = tmp_path / artifact.path.name
    changed.write_bytes(artifact.path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="has changed"):
        get_backend(name).open(replace(artifact, path=changed))
    with pytest.raises(ModelError, match="nothing at"):
        get_backend(name).open(replace(artifact, path=tmp_path / "gone"))


@pytest.mark.parametrize("name", AVAILABLE)
def test_a_format_that_a_backend_does_not_run_is_refused(name, artifacts):
    backend = get_backend(name)
    for kind in set(artifacts) - backend.formats:
        with pytest.raises(ModelError, match="in a format"):
            backend.open(artifacts[kind])


@pytest.mark.parametrize("name", AVAILABLE)
def test_a_closed_session_refuses_to_run_and_closes_twice(name, artifact_for, images):
    session = get_backend(name).open(artifact_for(name), threads=1)
    session.close()
    session.close()
    with pytest.raises(ModelError, match="closed"):
        session.run(images)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_a_device_that_is_not_here_is_never_replaced_by_another(name, artifact_for):
    with pytest.raises(UnavailableError):
        get_backend(name).open(artifact_for(name), device="gpu")
