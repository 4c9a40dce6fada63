import pytest

from components.contracts import Fit, VisionSpec
from components.vision.input_shape import input_shape


def shape_of(sizes, input_size=(640, 640), fit=Fit.LETTERBOX):
    return input_shape(sizes, VisionSpec("detect", ("thing",), input_size, fit, "yolo"))


def test_a_square_on_landscape_images_costs_its_padding_and_their_shape_is_suggested():
    shape = shape_of([(480, 640), (960, 1280)])
    assert (shape.padded, shape.suggested, shape.suggested_padded) == (0.25, (480, 640), 0.0)
    assert shape.text == (
        "input 640 × 640 px: 25% of it is padding on the 2 validation images; their shapes suggest "
        "model.image_size: [480, 640] (height, width), 0% padding, 25% fewer pixels to compute"
    )


def test_a_suggested_shape_is_of_whole_strides():
    shape = shape_of([(1080, 1920)])
    assert shape.suggested == (384, 640)
    assert shape.padded == pytest.approx(1 - 360 / 640)
    assert shape.suggested_padded == pytest.approx(1 - 360 / 384)


@pytest.mark.parametrize(
    ("sizes", "input_size"),
    [
        ([(480, 640), (640, 480)], (640, 640)),  # landscape and portrait need the square
        ([(640, 640)], (640, 640)),
        ([(630, 640)], (640, 640)),
        ([(480, 640)], (480, 640)),
        ([(640, 640)], (480, 640)),  # a larger input would not be cheaper
    ],
)
def test_no_other_shape_is_suggested_where_none_is_cheaper(sizes, input_size):
    shape = shape_of(sizes, input_size)
    assert shape.suggested is None
    assert "suggest" not in shape.text


def test_a_portrait_input_is_suggested_for_portrait_images():
    shape = shape_of([(640, 480)], (480, 640))
    assert (shape.suggested, shape.suggested_padded) == ((640, 480), 0.0)
    assert "fewer" not in shape.text


def test_shapes_matter_to_letterboxes_alone():
    assert shape_of([(480, 640)], fit=Fit.CENTER_CROP) is None
    assert shape_of([]) is None
