"""A model that is broken as it was given does not ship."""

from __future__ import annotations

import pytest

from tests.conftest import MODEL

BROKEN = """
name: broken
model: {{path: {model}, trust_pickle: true}}
data: {{labelled: {data}, calibration_split: calibration, golden_split: golden, golden_images: 3}}
"""


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """The shipped detector with weights that have learnt nothing, but that say something."""
    import torch

    from components.backends.yolo import load_yolo

    torch.manual_seed(0)
    yolo, path = load_yolo(MODEL, trust=True), tmp_path_factory.mktemp("random") / "random.pt"
    with torch.no_grad():
        for layer in yolo.model.modules():
            if isinstance(layer, torch.nn.Conv2d) and len(layer.weight) > 1:
                # all but the integral over a box's sides
                shuffled = layer.weight.flatten()[torch.randperm(layer.weight.numel())]
                layer.weight.copy_(shuffled.view_as(layer.weight))
    yolo.save(str(path))
    return path


def test_a_model_at_chance_ends_its_release_with_what_to_check(released, random_weights, tmp_path):
    config = tmp_path / "broken.yaml"
    config.write_text(BROKEN.format(model=random_weights, data=released.data / "data.yaml"))
    done = released.foveal("release", config)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    for word in (
        "better than chance",
        "by chance",
        "normalisation",
        "class names",
        "labels",
        "--accept-baseline",
    ):
        assert word in line
    assert not (released.root / "releases" / "broken").exists()
