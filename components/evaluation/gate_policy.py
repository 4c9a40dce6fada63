"""What a challenger must keep to be promoted: limits, each of which may be missing, and then nothing passes it."""

from __future__ import annotations

from dataclasses import dataclass

from components.errors import ConfigError


@dataclass(frozen=True)
class GatePolicy:
    """The limits of the gates; one that is None is no threshold: its gate is `not_evaluated` and nothing is promoted.

    Arguments:
        margin: of the deciding metric that the challenger may at most lose on the golden set.
        least_improvement: that it must exceed on recent images where drift was the cause; by default as much as it may
            lose on the golden set, so that a gain which nobody would notice does not pay for a loss.
        slice_margin: that it may at most lose on a slice or a class.
        slice_samples: images of a slice, or objects of a class, below which nothing is said.
        minimum_images: of the golden and of the recent set, below which nothing is decided.
        latency_increase: of the p95, as a share, beyond the measured noise.
        size_ratio: of the files, challenger's by champion's.
        memory_ratio: of the peak memory, likewise.

    Raises:
        ConfigError: a limit is out of its range.
    """

    margin: float | None = 0.02
    least_improvement: float | None = 0.02
    slice_margin: float | None = 0.05
    slice_samples: int = 50
    minimum_images: int = 30
    latency_increase: float | None = 0.10
    size_ratio: float | None = 1.25
    memory_ratio: float | None = 1.25

    def __post_init__(self) -> None:
        for name, low, high in (
            ("margin", 1e-6, 1.0),
            ("least_improvement", 0.0, 1.0),
            ("slice_margin", 1e-6, 1.0),
            ("slice_samples", 2, 1_000_000),
            ("minimum_images", 2, 1_000_000),
            ("latency_increase", 0.0, 10.0),
            ("size_ratio", 0.1, 100.0),
            ("memory_ratio", 0.1, 100.0),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} from {low:g} to {high:g}", found=f"{value:g}")
