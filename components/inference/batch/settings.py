"""Settings of a batch run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from components.contracts import BATCH
from components.errors import ConfigError
from components.inference.batch.shards import Shard

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
        shard_images: images per shard: what a killed run may lose.
        keep_going: a host that does not answer costs its own images, as long as others do; see
            `components.images.places`. Such a run is made again when it is asked for again.
        spread: has the shards done elsewhere, by processes that see the same files; None does them
            here.

    Raises:
        ConfigError: a number is out of range.
    """

    device: str = "cpu"
    threads: int = 0
    batch: int = BATCH
    decode_threads: int | None = None
    shard_images: int = 256
    keep_going: bool = False
    spread: Spread | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "shard_images", "decode_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} of at least 1", found=str(value))
