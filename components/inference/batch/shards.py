"""Work folder of a batch run: finished shards that a killed run leaves and the next picks up."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from components.contracts import FailedImage, dump, load
from components.errors import DatasetError
from components.files import is_whole, replacing, write_json
from components.inference.batch.tables import Schemas, merge_tables
from components.runs.finished import IMAGES
from components.runs.parts import part_name

if TYPE_CHECKING:
    import pyarrow as pa

RECORD_FILE = "shard.json"
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}


@dataclass(frozen=True)
class Shard:
    """The images from `start` up to and without `stop`, in the order of the sources."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.start:09d}-{self.stop:09d}"


def plan_shards(images: int, size: int) -> list[Shard]:
    """Cut a run into shards of `size` images; the last one may be smaller."""
    return [Shard(start, min(start + size, images)) for start in range(0, images, size)]


@dataclass(frozen=True)
class ShardRecord:
    """Summary of a finished shard.

    Arguments:
        processed: images with a prediction.
        failures: the others, for whatever reason.
        engine_errors: the different errors of the engine among them.
        seconds: wall time.
        unreachable: places that did not answer, each with how many of the failures are theirs.
    """

    processed: int
    failures: tuple[FailedImage, ...]
    engine_errors: tuple[str, ...]
    seconds: float
    unreachable: tuple[tuple[str, int], ...] = ()


def work_root(output: Path) -> Path:
    """The hidden folder beside a run's output that holds its unfinished work."""
    return output.with_name(f".{output.name}.work")


class WorkFolder:
    """Holds a run's finished shards until its output is complete.

    A shard is a folder of two tables and a record that is renamed into place as one, so it is there
    as a whole or not at all, wherever the process dies.

    Arguments:
        output: folder of the finished run.
        key: hash of everything that the results depend on; shards of another key are removed.
        schemas: of the two tables.
    """

    def __init__(self, output: Path, key: str, schemas: Schemas) -> None:
        self._root, self._schemas = work_root(output), schemas
        self._folder = self._root / key
        if self._root.exists() and not self._folder.exists():
            shutil.rmtree(self._root)

    def prepare(self) -> None:
        """Make the folder, before several processes write to it."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def holds(self, shard: Shard) -> bool:
        """Tell whether a shard is finished, and not damaged by a power cut or a killed removal."""
        return all(
            is_whole(self._folder / shard.name / name) for name in (*self._schemas, RECORD_FILE)
        )

    def record(self, shard: Shard) -> ShardRecord:
        """Read the summary of a finished shard."""
        return load(
            ShardRecord,
            json.loads((self._folder / shard.name / RECORD_FILE).read_text(encoding="utf-8")),
        )

    def write(self, shard: Shard, tables: Mapping[str, pa.Table], record: ShardRecord) -> None:
        """Keep a finished shard.

        Arguments:
            shard: which one.
            tables: by their file names, with the columns of the schemas.
            record: what they amount to.
        """
        import pyarrow.parquet as pq

        with replacing(self._folder / shard.name) as aside:
            aside.mkdir()
            for name, schema in self._schemas.items():
                pq.write_table(tables[name].cast(schema), aside / name, compression="zstd")
            write_json(aside / RECORD_FILE, dump(record))

    def merge(self, shards: Sequence[Shard]) -> Path:
        """Join the shards' tables, in order, in a folder on the output's disk that may be moved.

        Raises:
            DatasetError: a table cannot be read; its shard is removed, and the next run makes it
                again.
        """
        merged = self._fresh_folder()
        for name, schema in self._schemas.items():
            merge_tables(
                [self._folder / shard.name / name for shard in shards],
                merged / name,
                schema,
                self._damaged,
            )
        return merged

    def link(self, shards: Sequence[Shard]) -> Path:
        """Put the shards' tables side by side as parts, uncopied, in a folder that may be moved.

        They have a second name there, so that a run that is killed keeps its finished shards.

        Raises:
            DatasetError: a table is damaged; its shard is removed, and the next run makes it again.
        """
        merged = self._fresh_folder()
        for name, schema in self._schemas.items():
            folder = merged / Path(name).stem
            folder.mkdir()
            for number, shard in enumerate(shards):
                table = self._folder / shard.name / name
                self._check_footer(table, schema, len(shard) if name == IMAGES else None)
                _link(table, folder / part_name(number))
        return merged

    def _check_footer(self, table: Path, schema: pa.Schema, rows: int | None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(table) as file:
                if not file.schema_arrow.equals(schema):
                    raise pa.ArrowInvalid("other columns than this run writes")
                if rows not in (None, file.metadata.num_rows):
                    raise pa.ArrowInvalid(f"{file.metadata.num_rows} rows in place of {rows}")
        except (pa.ArrowException, OSError) as error:
            self._damaged(table, error)

    def _fresh_folder(self) -> Path:
        merged = self._folder / "merged"
        shutil.rmtree(merged, ignore_errors=True)  # of a run that was killed while it merged
        merged.mkdir(parents=True)
        return merged

    def _damaged(self, table: Path, error: Exception) -> NoReturn:
        shutil.rmtree(table.parent, ignore_errors=True)
        one_line = str(error).splitlines()[0]
        raise DatasetError(
            "a whole table of a shard",
            found=f"{table.parent.name}/{table.name}: {one_line}",
            hint="run it again",
        ) from error

    def remove(self) -> None:
        """Remove everything: the output is complete, or must not be built on."""
        shutil.rmtree(self._root, ignore_errors=True)


def _link(file: Path, name: Path) -> None:
    """Give a file a second name, or a copy where the file system knows no hard links."""
    try:
        os.link(file, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(file, name)
