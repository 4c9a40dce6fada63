"""Settings of a batch run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from components.contracts import BATCH
from components.errors import ConfigError
from components.inference.batch.input_cache import InputCache
from components.inference.batch.shards import Shard
from components.vision import VisionTask

SINGLE_FILE_IMAGES = 50_000  # beyond, results are kept in parts
SHARD_IMAGES, PART_IMAGES = 256, 4096
RANGES = {
    "threads": (0, 1024),
    "batch": (1, 4096),
    "decode_threads": (1, 256),
    "shard_images": (1, 1_000_000),
    "cache_mb": (0, 10_000_000),
}

Spread = Callable[[Callable[[Shard], None], Sequence[Shard]], Iterable[Shard]]
"""Calls a function for every shard, anywhere, in any order; yields each once it is finished."""


@dataclass(frozen=True)
class BatchSettings:
    """Settings of a batch run.

    Arguments:
        device: as the backend calls it.
        threads: of the engine; 0 is all cores.
        batch: images per engine call.
        decode_threads: threads that read and fit images while the engine works; None is one per
            core, at most 8.
        shard_images: images per shard: what a killed run may lose; None is 256, and 4096 where the
            shards are kept as parts.
        parts: keep the results as folders of one file a shard, which are not joined, so that no row
            is written twice; None does so for more than 50,000 images.
        keep_going: a host that does not answer costs its own images, as long as others do; see
            `components.images.places`. Such a run is made again when it is asked for again.
        cache_folder: where pre-processed inputs are kept for the next run over the same images.
        cache_mb: bound of that folder; 0 keeps none.
        spread: has the shards done elsewhere, by processes that see the same files; None does them
            here.

    Raises:
        ConfigError: a number is out of range.
    """

    device: str = "cpu"
    threads: int = 0
    batch: int = BATCH
    decode_threads: int | None = None
    shard_images: int | None = None
    parts: bool | None = None
    keep_going: bool = False
    cache_folder: Path | None = None
    cache_mb: int = 0
    spread: Spread | None = None

    def __post_init__(self) -> None:
        _check_ranges(self)

    def input_cache(self, task: VisionTask) -> InputCache | None:
        """Return the cache of inputs that a task fits; None where none is wanted."""
        if self.cache_folder is None or not self.cache_mb:
            return None
        return InputCache(self.cache_folder, task, self.cache_mb * 1_000_000)

    def in_parts(self, images: int) -> bool:
        """Tell whether a run over so many images keeps its results in parts."""
        if self.parts is None:
            return images > SINGLE_FILE_IMAGES
        return self.parts and images > 0

    def shard_size(self, images: int) -> int:
        """Return the number of images per shard of a run over so many."""
        return self.shard_images or (PART_IMAGES if self.in_parts(images) else SHARD_IMAGES)


@dataclass(frozen=True)
class RunOptions:
    """Settings that a user may change for one run; None leaves them as they are.

    Arguments:
        device: as the backend calls it.
        threads: of the engine; 0 is all cores.
        batch: images per engine call.
        decode_threads: threads that read and fit images.
        parts: results as folders of parts, or as single files.
        cache_mb: bound of the cache of pre-processed inputs; 0 keeps none.
        keep_going: a host that does not answer costs its own images, as long as others do.

    Raises:
        ConfigError: a number is out of range.
    """

    device: str | None = None
    threads: int | None = None
    batch: int | None = None
    decode_threads: int | None = None
    parts: bool | None = None
    cache_mb: int | None = None
    keep_going: bool | None = None

    def __post_init__(self) -> None:
        _check_ranges(self)

    def over(self, settings: BatchSettings) -> BatchSettings:
        """Return the settings with what is given here in their place."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(settings, **given)


def _check_ranges(settings: BatchSettings | RunOptions) -> None:
    for name, (low, high) in RANGES.items():
        value = getattr(settings, name, None)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{name} from {low} to {high}", found=str(value))
