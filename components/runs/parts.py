"""Tables of a run: a Parquet file, or a folder of parts that are read one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_PART = re.compile(r"part-\d{6,}\.parquet")


def part_name(number: int) -> str:
    """The file name of a part, which sorts in the order of the parts."""
    return f"part-{number:06d}.parquet"


def holds_parts_alone(folder: Path) -> bool:
    """Tell whether a folder has nothing but parts of a table in it."""
    return folder.is_dir() and all(_PART.fullmatch(path.name) for path in folder.iterdir())


def parts_of(table: Path) -> list[Path]:
    """Return the Parquet files that make up a table, in the order of its rows."""
    if not table.is_dir():
        return [table]
    return sorted(path for path in table.iterdir() if _PART.fullmatch(path.name))


def read_schema(table: Path) -> pa.Schema:
    """The columns of a table.

    Raises:
        OSError: it cannot be read.
    """
    import pyarrow.parquet as pq

    return pq.read_schema(_first(table))


def _first(table: Path) -> Path:
    if not (parts := parts_of(table)):
        raise FileNotFoundError(f"no parts in {table}")
    return parts[0]


class RunTable:
    """A table that is read piece by piece, however large it is.

    Arguments:
        path: a Parquet file, or a folder of parts.

    Raises:
        OSError: it cannot be read; what pyarrow raises for a damaged file comes through, too.
    """

    def __init__(self, path: Path) -> None:
        self.schema_arrow = read_schema(path)
        self._parts = parts_of(path)

    @property
    def num_rows(self) -> int:
        """The number of rows, from the files' footers."""
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(part).num_rows for part in self._parts)

    def iter_batches(
        self, batch_size: int = 65_536, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows, some at a time.

        Arguments:
            batch_size: rows, at most.
            columns: only these; None is all.
        """
        import pyarrow.parquet as pq

        wanted = None if columns is None else list(columns)
        for part in self._parts:
            # not buffered ahead, or all that is to be read would be held
            with pq.ParquetFile(part, pre_buffer=False) as file:
                yield from file.iter_batches(batch_size, columns=wanted)
