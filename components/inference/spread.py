"""A batch run's work in a form that can be done in another process, and how its shards get there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.backends import get_backend
from components.contracts import ModelArtifact
from components.images.sources import ImageSource
from components.inference.shard_worker import Progress, ShardWorker
from components.inference.shards import Shard, WorkFolder
from components.inference.tables import table_schemas
from components.vision import task_for

Spread = Callable[[Callable[[Shard], None], Sequence[Shard]], Iterable[Shard]]
"""Calls a function for every shard, anywhere, in any order; yields each shard once it is finished."""


@dataclass(frozen=True)
class ShardJob:
    """What a shard's results depend on, and where they go; fields are those of `run_batch`.

    It can be pickled. Who does a part of it must see the model file, the output and local images by the same paths.
    """

    sources: tuple[ImageSource, ...]
    artifact: ModelArtifact
    backend: str
    device: str
    threads: int
    confidence: float
    iou: float
    provenance: Mapping[str, Any]
    output: Path
    key: str
    batch: int
    decode_threads: int | None

    def finish(self, todo: Sequence[Shard], progress: Progress | None = None) -> None:
        """Do shards in this process.

        Raises:
            ModelError: the engine fails on everything it is given.
        """
        task = task_for(self.artifact.spec, confidence=self.confidence, iou=self.iou)
        with get_backend(self.backend).open(self.artifact, device=self.device, threads=self.threads) as session:
            worker = ShardWorker(
                session,
                task,
                WorkFolder(self.output, self.key, table_schemas(task)),
                provenance=self.provenance,
                batch=self.batch,
                decode_threads=self.decode_threads,
                embedding=self.artifact.embedding,
            )
            worker.finish(self.sources, todo, progress)

    def hand_out(self, todo: Sequence[Shard], spread: Spread, progress: Progress | None = None) -> None:
        """Have shards done elsewhere.

        Raises:
            ModelError: the engine fails on everything it is given.
        """
        done = len(self.sources) - sum(map(len, todo))
        for shard in spread(self.finish_one, todo):
            done += len(shard)
            if progress:
                progress(done, len(self.sources))

    def finish_one(self, shard: Shard) -> None:
        """Do one shard in this process."""
        self.finish([shard])
