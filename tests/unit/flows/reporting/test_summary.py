"""What the summary of a release remarks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flows.reporting.summary import ReleaseSummary, Window


def test_a_release_of_which_all_images_failed_says_so() -> None:
    window = Window(2, 2, 9.0, "data_fault", (), Path("images.parquet"), Path("report.html"))
    done = ReleaseSummary(
        "digits",
        3,
        ("champion",),
        "map50_95",
        "workstation",
        (),
        (),
        None,
        "a CPU",
        Path(),
        Path(),
        None,
        window,
    )
    (line,) = done.remarks
    assert (
        line == "digits/3 is released, but none of 2 images could be predicted: see images.parquet"
    )
    assert replace(done, window=replace(window, failed=1)).remarks == ()
    assert replace(done, window=None).remarks == ()
