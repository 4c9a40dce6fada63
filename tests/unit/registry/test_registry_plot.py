"""The latency–accuracy plot."""

from __future__ import annotations

from dataclasses import replace

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contracts import Budget
from model_registry.artifacts.benchmark_plot import draw_latency_accuracy, pareto_front

points = st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1)), max_size=12)


@settings(deadline=None, max_examples=50)
@given(points)
def test_every_point_off_the_front_is_beaten_and_none_on_it_is(points):
    def beats(a, b):
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    front = pareto_front(points)
    for index, point in enumerate(points):
        beaten = any(beats(other, point) for other in points)
        if index in front:
            assert not beaten
        else:
            assert beaten or point in [points[i] for i in front]


@settings(deadline=None, max_examples=50)
@given(points)
def test_the_front_rises_with_latency(points):
    accuracies = [points[i][1] for i in pareto_front(points)]
    assert accuracies == sorted(set(accuracies))


def test_the_plot_shows_the_variants_and_marks_the_chosen_one(report, tmp_path):
    assert draw_latency_accuracy(report, tmp_path / "plots" / "chosen.png")
    assert draw_latency_accuracy(replace(report, chosen=None), tmp_path / "none.png")
    chosen, none = (cv2.imread(str(tmp_path / name)) for name in ("plots/chosen.png", "none.png"))
    assert chosen.shape == none.shape == (650, 1040, 3)
    assert _red(chosen) > 100
    assert _red(none) == 0


def test_an_accuracy_floor_is_drawn_when_the_target_sets_one(report, tmp_path):
    floor = replace(report, target=replace(report.target, budget=Budget(max_accuracy_drop=0.02)))
    draw_latency_accuracy(report, tmp_path / "without.png")
    draw_latency_accuracy(floor, tmp_path / "with.png")
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()


def test_nothing_is_drawn_when_nothing_was_measured(report, tmp_path):
    assert not draw_latency_accuracy(
        replace(report, measurements=report.measurements[2:]), tmp_path / "plot.png"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_single_variant_makes_a_plot(report, tmp_path):
    assert draw_latency_accuracy(
        replace(report, measurements=report.measurements[:1]), tmp_path / "plot.png"
    )


def _red(image):
    blue, green, red = (image[..., channel].astype(int) for channel in range(3))
    return int(((red - green > 80) & (red - blue > 80)).sum())
