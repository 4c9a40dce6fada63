"""An image that cannot be read or predicted costs no other."""

import cv2
import numpy as np
import pandas as pd
import pytest

from components.errors import ModelError
from components.images.sources import ImageSource
from tests.unit.inference.batch.batches import leftovers, run, steady, white


def test_an_unreadable_image_is_a_row_and_a_failure_and_costs_nothing_else(
    photos, detector, tmp_path
):
    whole = run(photos, detector, tmp_path / "whole")
    (photos / "02.png").write_bytes((photos / "02.png").read_bytes()[:60])
    (photos / "05.png").unlink()
    sources = [
        ImageSource(f"{number:02d}.png", str(photos / f"{number:02d}.png")) for number in range(10)
    ]
    result = run(sources, detector, tmp_path / "broken")
    images, detections = steady(result)
    bad = images["image_id"].isin(["02.png", "05.png"])
    assert [failure.image_id for failure in result.failures] == ["02.png", "05.png"]
    assert result.processed == 8
    assert (images.loc[bad, "status"] == "error").all()
    assert images.loc[bad, "error"].tolist() == [failure.error for failure in result.failures]
    assert (
        images.loc[bad, ["brightness", "prediction_count", "prediction_top_class"]]
        .isna()
        .all(axis=None)
    )
    assert images.loc[2, "file_bytes"] == 60
    assert images.loc[bad, "sha256"].isna().tolist() == [False, True]
    expected_images, expected_detections = steady(whole)
    pd.testing.assert_frame_equal(images[~bad], expected_images[~bad], check_dtype=False)
    kept = ~expected_detections["image_id"].isin(["02.png", "05.png"])
    pd.testing.assert_frame_equal(detections, expected_detections[kept].reset_index(drop=True))


def test_only_the_image_that_the_engine_fails_on_is_an_error(photos, detector, tmp_path):
    whole = run(photos, detector, tmp_path / "whole")
    white(photos / "04.png")
    result = run(photos, detector, tmp_path / "broken")
    assert [failure.image_id for failure in result.failures] == ["04.png"]
    assert "onnxruntime" in result.failures[0].error
    images, _ = steady(result)
    ok = images["status"] == "ok"
    pd.testing.assert_frame_equal(images[ok], steady(whole)[0][ok], check_dtype=False)
    assert images.loc[~ok, "brightness"].tolist() == [255.0]


def test_an_image_whose_output_is_not_a_number_failed_and_is_not_empty(photos, detector, tmp_path):
    cv2.imwrite(str(photos / "04.png"), np.zeros((32, 32, 3), np.uint8))
    result = run(photos, detector, tmp_path / "out")
    assert [failure.image_id for failure in result.failures] == ["04.png"]
    assert "finite" in result.failures[0].error


def test_an_engine_that_fails_on_everything_raises_early_and_leaves_nothing(
    photos, make_detector, tmp_path
):
    seen = []
    with pytest.raises(ModelError, match="fail"):
        run(
            photos,
            make_detector(crash_above=-1),
            tmp_path / "out",
            progress=lambda done, _: seen.append(done),
        )
    assert max(seen) == 4  # one shard was enough to know
    assert not (tmp_path / "out").exists() and leftovers(tmp_path / "out") == []


def test_an_engine_that_fails_on_every_image_alike_raises_and_leaves_nothing(tmp_path, detector):
    """It does run a grey image, so only the whole run tells."""
    (tmp_path / "photos").mkdir()
    for number in range(6):
        white(tmp_path / "photos" / f"{number}.png")
    with pytest.raises(ModelError, match="6 of 6"):
        run(tmp_path / "photos", detector, tmp_path / "out")
    assert not (tmp_path / "out").exists() and leftovers(tmp_path / "out") == []


def test_a_shard_of_bad_images_after_good_ones_does_not_stop_the_run(photos, detector, tmp_path):
    for number in range(4, 8):
        white(photos / f"{number:02d}.png")
    result = run(photos, detector, tmp_path / "out")
    assert (result.processed, len(result.failures)) == (6, 4)
