"""Nothing phones home: retraining, comparing and promoting a classifier, with loopback only."""

from __future__ import annotations

from tests.conftest import COMMAND
from tests.silence import classifier_lines, copy_of, noise, watch


def test_a_release_asks_nobody_and_leaves_the_home_folder_alone(released_classifier):
    assert noise([released_classifier.watched], released_classifier.root.parent / "user") == []


def test_retraining_and_comparing_ask_nobody(released_classifier, tmp_path):
    one = released_classifier
    root, settings = copy_of(one, tmp_path / "home"), tmp_path / "short.yaml"
    settings.write_text("training: {epochs: 1}\ngates: {rounds: 6}\n")
    lines = classifier_lines(one.data, settings)
    watched = watch(one, root, [[COMMAND, *line] for line in lines], tmp_path)
    # Whether so short a training makes a version that passes is not the question here.
    allowed = ("compare", "gates", "ab", "promote", "rollback")
    assert noise(watched, tmp_path / "user", allowed=allowed) == []
