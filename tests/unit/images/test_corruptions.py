import cv2
import numpy as np
import pytest

from components.datasets.scenes import compose_scene, digits_of
from components.errors import ConfigError
from components.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt


@pytest.fixture(scope="module")
def scene():
    return compose_scene(digits_of("golden", 0), np.random.default_rng(5))[0]


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_damage_grows_with_severity_and_leaves_the_shape(scene, kind):
    damaged = [corrupt(scene, kind, severity, np.random.default_rng(0)) for severity in SEVERITIES]
    assert all(image.shape == scene.shape and image.dtype == np.uint8 for image in damaged)
    distances = [cv2.norm(scene, image) for image in damaged]
    assert distances == sorted(distances) and distances[0] > 0


def test_damage_is_the_same_for_the_same_source_of_randomness(scene):
    one, two = (corrupt(scene, "noise", 3, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("kind", "severity"), [("rust", 1), ("blur", 0), ("blur", 6)])
def test_unknown_damage_is_refused(scene, kind, severity):
    with pytest.raises(ConfigError, match="brightness, contrast, noise, blur, fog, jpeg"):
        corrupt(scene, kind, severity, np.random.default_rng(0))
