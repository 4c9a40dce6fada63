"""The folder of a test that lasts days: each image once, scores in the order that they came."""

from __future__ import annotations

import numpy as np
import pytest

from components.contracts import AbMode, Variant
from components.errors import ConfigError, DatasetError
from components.images.sources import ImageSource, list_images
from components.inference import Arm, BatchSettings, Design, Experiment, run_batch
from components.inference.ab.split import assign_arm

DESIGN = Design(
    "digits/1, sha256 1", "digits/2, sha256 2", AbMode.SHADOW, 0.5, "salt", 0.02, True, None
)
SPLIT = Design(
    "digits/1, sha256 1", "digits/2, sha256 2", AbMode.SPLIT, 0.4, "salt", 0.02, False, 400
)


def run(experiment, detector, arm, kill=False):
    def progress(done, total):
        if kill:
            raise KeyboardInterrupt

    return run_batch(
        experiment.sources(arm),
        Variant("digits/1", detector, "onnxruntime"),
        experiment.output(arm),
        settings=BatchSettings(threads=1),
        progress=progress,
    )


def advance(folder, design, detector, sources):
    with Experiment.opened(folder, design) as experiment:
        new = experiment.plan(sources)
        if new:
            for arm in Arm:
                run(experiment, detector, arm)
            experiment.keep()
        return new, experiment.batches()


def ids(run):
    import pyarrow.parquet as pq

    return pq.read_table(run.images, columns=["image_id"])["image_id"].to_pylist()


def test_an_image_is_run_once_however_often_it_is_given(tmp_path, detector, photos):
    sources = list_images(photos)
    assert advance(tmp_path / "test", DESIGN, detector, sources[:6])[0] == 6
    assert advance(tmp_path / "test", DESIGN, detector, sources[:6])[0] == 0
    new, batches = advance(tmp_path / "test", DESIGN, detector, sources[4:])
    assert new == 4
    for arm in Arm:
        seen = [image_id for batch in batches for image_id in ids(batch[arm])]
        assert sorted(seen) == [source.image_id for source in sources]


def test_in_a_split_every_image_goes_to_one_arm_and_always_to_the_same(tmp_path, detector, photos):
    sources = list_images(photos)
    _, first = advance(tmp_path / "one", SPLIT, detector, sources)
    _, second = advance(tmp_path / "other", SPLIT, detector, sources[::-1])
    for arm in Arm:
        expected = [
            s.image_id for s in sources if assign_arm(s.image_id, share=0.4, salt="salt") is arm
        ]
        assert sorted(ids(first[0][arm])) == sorted(ids(second[0][arm])) == expected != []


def test_a_killed_look_counts_nothing_and_the_next_one_takes_up_its_work(
    tmp_path, detector, photos
):
    sources = list_images(photos)
    with (
        pytest.raises(KeyboardInterrupt),
        Experiment.opened(tmp_path / "test", DESIGN) as experiment,
    ):
        experiment.plan(sources)
        first = run(experiment, detector, Arm.A)
        run(experiment, detector, Arm.B, kill=True)
    with Experiment.opened(tmp_path / "test", DESIGN) as experiment:
        assert experiment.batches() == []
        assert experiment.plan(sources) == 10
        assert run(experiment, detector, Arm.A) == first, "what was finished is not done again"
        run(experiment, detector, Arm.B)
        experiment.keep()
        assert len(experiment.batches()) == 1
        assert experiment.plan(sources) == 0


def test_a_batch_of_which_an_arm_is_missing_is_not_counted(tmp_path, detector, photos):
    with Experiment.opened(tmp_path / "test", DESIGN) as experiment:
        experiment.plan(list_images(photos))
        run(experiment, detector, Arm.A)
        with pytest.raises(DatasetError, match="finished run"):
            experiment.keep()
        assert experiment.batches() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("a", "digits/3"),
        ("mode", AbMode.SPLIT),
        ("salt", "pepper"),
        ("delta", 0.1),
        ("samples", 500),
    ],
)
def test_a_test_that_was_begun_differently_is_not_gone_on_with(tmp_path, field, value):
    from dataclasses import replace

    with Experiment.opened(tmp_path / "test", DESIGN):
        pass
    with Experiment.opened(tmp_path / "test", DESIGN):
        pass
    changed = replace(DESIGN, **{field: value})
    with (
        pytest.raises(ConfigError, match=f"{field} .*--experiment"),
        Experiment.opened(tmp_path / "test", changed),
    ):
        pass


def test_two_looks_at_once_are_refused(tmp_path):
    with Experiment.opened(tmp_path / "test", DESIGN):
        with (
            pytest.raises(ConfigError, match="another run holds"),
            Experiment.opened(tmp_path / "test", DESIGN),
        ):
            pass


def test_scores_stay_in_the_order_in_which_they_came_and_are_never_changed(tmp_path):
    nan = float("nan")
    with Experiment.opened(tmp_path / "test", DESIGN) as experiment:
        assert experiment.scores()[0] == []
        experiment.add_scores({"b.jpg": (1.0, 0.5), "a.jpg": (nan, 0.0), "c.jpg": (0.25, nan)})
        names, values = experiment.scores()
        experiment.add_scores({"a.jpg": (1.0, 1.0), "0.jpg": (0.75, 0.0)})
        after, more = experiment.scores()
    assert sorted(names) == ["a.jpg", "b.jpg", "c.jpg"]
    assert after == [*names, "0.jpg"]
    np.testing.assert_array_equal(more[:3], values)
    assert more[3].tolist() == [0.75, 0.0]
    assert np.isnan(values[names.index("a.jpg")]).tolist() == [True, False]


def test_the_order_within_a_look_does_not_follow_the_names(tmp_path):
    sources = [
        ImageSource(f"{number:03d}.jpg", f"/nowhere/{number:03d}.jpg") for number in range(40)
    ]
    with Experiment.opened(tmp_path / "test", DESIGN) as experiment:
        experiment.plan(sources)
        planned = [source.image_id for source in experiment.sources(Arm.A)]
        experiment.add_scores({source.image_id: (1.0, 1.0) for source in sources})
        assert planned == experiment.scores()[0] != sorted(planned)
