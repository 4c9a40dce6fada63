import numpy as np
import pytest

from components.contracts import Fit, VisionSpec
from components.errors import ImageError
from components.vision.boxes import to_original
from components.vision.fit import fit_image

# height, width: ordinary, tiny, already right, odd paddings, and very long ones
SIZES = [(480, 640), (640, 480), (1080, 1920), (333, 501), (97, 61), (7, 5), (1, 1)]
SIZES += [(64, 96), (65, 96), (2, 900), (1500, 3)]
INPUTS = [(64, 96), (320, 320), (97, 131)]


def spec_of(fit, size=(64, 96)):
    return VisionSpec("detect", ("thing",), size, fit, "yolo")


def noise(height, width):
    return np.random.default_rng([height, width]).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )


def pillow_image(image):
    from PIL import Image

    return Image.fromarray(image)


@pytest.fixture(scope="module")
def ultralytics():
    from components.backends.yolo import import_ultralytics

    return import_ultralytics()


@pytest.mark.parametrize("size", INPUTS)
@pytest.mark.parametrize("shape", SIZES)
def test_letterbox_is_that_of_ultralytics_to_the_last_pixel(ultralytics, shape, size):
    from ultralytics.data.augment import LetterBox

    image = noise(*shape)
    fitted, _ = fit_image(image, spec_of(Fit.LETTERBOX, size))
    assert np.array_equal(fitted, LetterBox(size, auto=False, scaleup=True)(image=image))


@pytest.mark.parametrize("size", INPUTS)
@pytest.mark.parametrize("shape", SIZES)
def test_boxes_come_back_from_a_letterbox_as_ultralytics_brings_them_back(ultralytics, shape, size):
    from ultralytics.utils.ops import scale_boxes

    _, frame = fit_image(noise(*shape), spec_of(Fit.LETTERBOX, size))
    corners = np.random.default_rng(0).uniform(-10, max(size) + 10, (50, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    np.testing.assert_allclose(
        to_original(boxes, frame), scale_boxes(size, boxes.copy(), shape), atol=1e-9
    )


@pytest.mark.parametrize("side", [64, 97])
@pytest.mark.parametrize("shape", SIZES)
def test_center_crop_is_that_of_torchvision(shape, side):
    from torchvision.transforms.functional import center_crop, resize

    image = noise(*shape)
    wanted = np.asarray(center_crop(resize(pillow_image(image), side), side)).astype(int)
    fitted, _ = fit_image(image, spec_of(Fit.CENTER_CROP, (side, side)))
    assert np.abs(fitted - wanted).max() <= 1


@pytest.mark.parametrize("size", INPUTS)
@pytest.mark.parametrize("shape", SIZES)
def test_stretch_is_that_of_torchvision(shape, size):
    from torchvision.transforms.functional import resize

    image = noise(*shape)
    fitted, _ = fit_image(image, spec_of(Fit.STRETCH, size))
    # Pillow 13 goes down first in long images
    wanted = np.asarray(resize(pillow_image(image), size)).astype(int)
    assert np.abs(fitted - wanted).max() <= 1


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 300), (40, 30)])
def test_frame_says_where_in_the_input_a_thing_is(fit, height, width):
    image = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = width // 3, height // 3, width * 2 // 3, height * 2 // 3
    image[top:bottom, left:right] = 255
    fitted, frame = fit_image(image, spec_of(fit, (96, 128)))
    rows, columns = np.where(fitted[:, :, 0] > 127)
    seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
    pixel = max(1 / frame.scale_x, 1 / frame.scale_y)
    np.testing.assert_allclose(
        to_original(seen, frame), [[left, top, right, bottom]], atol=max(pixel, 1)
    )


@pytest.mark.parametrize("size", INPUTS)
@pytest.mark.parametrize("shape", SIZES)
def test_center_crop_leaves_no_border(shape, size):
    fitted, frame = fit_image(np.full((*shape, 3), 200, np.uint8), spec_of(Fit.CENTER_CROP, size))
    assert fitted.shape == (*size, 3) and (fitted == 200).all()
    assert frame.offset_x <= 0 and frame.offset_y <= 0


@pytest.mark.parametrize("fit", Fit)
def test_fitted_image_is_a_copy_that_may_be_written(fit):
    image = noise(64, 96)
    before = image.copy()
    fitted, _ = fit_image(image, spec_of(fit, (64, 96)))
    fitted[:] = 0
    assert np.array_equal(image, before)


@pytest.mark.parametrize("fit", Fit)
def test_view_of_an_image_is_fitted_like_its_copy(fit):
    flipped = noise(50, 40)[:, ::-1, ::-1]
    assert np.array_equal(
        fit_image(flipped, spec_of(fit))[0], fit_image(flipped.copy(), spec_of(fit))[0]
    )


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 10, 3), np.float32),
    ],
    ids=["grey", "four channels", "empty", "float"],
)
def test_other_arrays_are_refused_by_what_they_are(array):
    with pytest.raises(ImageError, match=r"shape \(\d+, \d+.*uint8|float32"):
        fit_image(array, spec_of(Fit.LETTERBOX))
