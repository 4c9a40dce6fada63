"""A batch run's work in a form that another process can do, and how its shards get there."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.contracts import Variant
from components.images.lists.image_table import own_columns
from components.images.places import Places
from components.images.sources import ImageSource
from components.inference.batch.settings import BatchSettings, Spread
from components.inference.batch.shard_worker import Progress, ShardWorker
from components.inference.batch.shards import Shard, WorkFolder
from components.inference.batch.tables import table_schemas
from components.inference.engine import open_model

# the run whose shards this thread does, and its open engine: opening may take seconds
_kept = threading.local()


@dataclass(frozen=True)
class ShardJob:
    """Inputs of a shard's results, and the folder that they go to; fields are those of `run_batch`.

    It can be pickled. Who does a part of it must see the model file, the output and local images by
    the same paths.
    """

    sources: Sequence[ImageSource]
    model: Variant
    settings: BatchSettings
    output: Path
    key: str

    def finish(self, todo: Sequence[Shard], progress: Progress | None = None) -> None:
        """Do shards in this process.

        Raises:
            ModelError: the engine fails on everything it is given.
        """
        with self._open() as worker:
            worker.finish(self.sources, todo, progress)

    @contextmanager
    def _open(self) -> Iterator[ShardWorker]:
        settings = self.settings
        session, task = open_model(self.model, device=settings.device, threads=settings.threads)
        with session:
            yield ShardWorker(
                session,
                task,
                WorkFolder(self.output, self.key, table_schemas(task, own_columns(self.sources))),
                model=self.model,
                places=Places(
                    (source.uri for source in self.sources), keep_going=settings.keep_going
                ),
                settings=settings,
            )

    def hand_out(
        self, todo: Sequence[Shard], spread: Spread, progress: Progress | None = None
    ) -> None:
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
        """Do one shard in this process.

        The engine stays open for this thread's next shard of the same run.
        """
        run = (self.key, self.output, self.settings)
        if getattr(_kept, "run", None) != run:
            _let_go()
            _kept.opened = ExitStack()
            _kept.worker, _kept.run = _kept.opened.enter_context(self._open()), run
        try:
            _kept.worker.finish(self.sources, [shard], None)
        except BaseException:
            _let_go()
            raise


def _let_go() -> None:
    """Close the engine that this thread has kept."""
    if opened := getattr(_kept, "opened", None):
        _kept.run = _kept.worker = _kept.opened = None
        opened.close()
