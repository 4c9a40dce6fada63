import pytest

from components.datasets.matching import match_ids
from components.errors import DatasetError


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("cat/7.jpg", "cat/7.jpg"),
        ("cat/7", "cat/7.jpg"),
        ("7", "cat/7.JPG"),
        ("val/cat/7.png", "cat/7.jpg"),
        ("./cat/7.jpg", "cat/7.jpg"),
        ("/data/cat/7.jpg", "cat/7.jpg"),
        ("cat\\7.jpg", "cat/7.jpg"),
        ("../cat/7.jpg", "cat/7.jpg"),
        ("s3://bucket/cat/7.jpg", "cat/7"),
    ],
)
def test_ids_that_name_the_same_image_match(label, image):
    assert match_ids([label], ["dog/8.jpg", image]) == {label: 1}


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("cat/7", "dog/7.jpg"),
        ("cat/7", "cat/17.jpg"),
        ("cat/7", "tomcat/7.jpg"),
        ("frame.001", "frame.002"),
        ("Cat/7", "cat/7.jpg"),
        ("", "cat/7.jpg"),
    ],
)
def test_ids_that_name_different_images_do_not_match(label, image):
    assert match_ids([label], [image]) == {}


def test_an_equal_id_wins_over_similar_ones():
    assert match_ids(["7.jpg"], ["a/7.jpg", "7.jpg", "7.png"]) == {"7.jpg": 1}


@pytest.mark.parametrize(
    ("labels", "images", "named"),
    [
        (["7"], ["a/7.jpg", "b/7.jpg"], "label 7 for 2 images: a/7.jpg, b/7.jpg"),
        (["7"], ["7.jpg", "7.png"], "label 7 for 2 images"),
        (["7.jpg"], ["7.jpg", "7.jpg"], "label 7.jpg for 2 images"),
        (["a/7", "b/7"], ["7.jpg"], "labels a/7 and b/7 for the image 7.jpg"),
    ],
)
def test_an_ambiguous_match_is_an_error_that_names_both(labels, images, named):
    with pytest.raises(DatasetError, match=named):
        match_ids(labels, images)


def test_ambiguous_images_that_no_label_asks_for_do_not_matter():
    assert match_ids(["8"], ["a/7.jpg", "b/7.jpg", "8.jpg"]) == {"8": 2}
