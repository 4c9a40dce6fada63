"""Reading lists of images: CSV and Parquet files of one row an image, within bounds."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from components.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

LIST_SUFFIXES = frozenset({".csv", ".parquet"})
ID_COLUMN = "image_id"
# the first of these that the list has; both columns of the first pair may fill each other's gaps
_KNOWN = (("path", "uri"), ("image",))
MAX_BYTES = 4 << 30  # of a list once it is decompressed; ten million rows have one or two GB
_ROWS = 8192  # read at once


@dataclass(frozen=True)
class ListColumns:
    """Columns of a list, one row an image.

    Arguments:
        paths: where each image is, as the list says it; filled in every row.
        ids: names of the images; None, or null, where the list has none.
        own: all other columns, with their types.
    """

    paths: pa.ChunkedArray
    ids: pa.ChunkedArray | None
    own: pa.Table


def read_list(file: BinaryIO, name: str, column: str = "") -> ListColumns:
    """Read a list of images.

    A CSV file has no types: its columns are text, and what a short row lacks is null.

    Arguments:
        file: the content.
        name: its path or URL; the suffix tells the format.
        column: names the image of each row; by default `path` and `uri`, or else `image`.

    Raises:
        DatasetError: it is damaged or too large, has no such column or one that is not filled, or
            columns of lists.
    """
    import pyarrow as pa

    kind = "Parquet" if PurePosixPath(name).suffix.lower() == ".parquet" else "CSV"
    try:
        table = _parquet(file, name) if kind == "Parquet" else _csv(file, name)
        table.validate(full=True)
        return _columns(table, name, column)
    except (pa.ArrowException, OSError, csv.Error, UnicodeDecodeError) as error:
        expected = "a list of images as Parquet" if kind == "Parquet" else "a manifest as UTF-8 CSV"
        found = f"{name}: {' '.join(str(error).split())[:200]}"
        raise DatasetError(expected, found=found, hint="save it again") from error


def _parquet(file: BinaryIO, name: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file, pre_buffer=False) as parquet:
        schema = _plain(parquet, name)
        batches, size = [], 0
        for batch in parquet.iter_batches(batch_size=_ROWS):
            size += batch.nbytes  # the metadata may say less than there is
            _require_bounded(size, name)
            batches.append(batch)
        return pa.Table.from_batches(batches, parquet.schema_arrow).cast(schema)


def _plain(parquet: pq.ParquetFile, name: str) -> pa.Schema:
    """The schema without notes of other programs, once everything may be read.

    Raises:
        DatasetError: it is too large, or a column holds lists or records.
    """
    import pyarrow as pa

    groups = range(parquet.metadata.num_row_groups)
    _require_bounded(sum(parquet.metadata.row_group(k).total_byte_size for k in groups), name)
    for field in parquet.schema_arrow:
        if pa.types.is_nested(field.type):
            raise DatasetError(
                "a list of images with plain values in its columns",
                found=f"{field.name} of {name} with {field.type}",
                hint="leave that column out",
            )
    _require_names(parquet.schema_arrow.names, name)
    return pa.schema([pa.field(field.name, field.type) for field in parquet.schema_arrow])


def _require_bounded(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise DatasetError(
            f"a list of images of at most {MAX_BYTES / 1e9:.1f} GB when decompressed",
            found=f"{name} with {size / 1e9:,.1f} GB or more",
            hint="cut it in several, or leave columns out",
        )


def _csv(file: BinaryIO, name: str) -> pa.Table:
    import pyarrow as pa

    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        rows = csv.reader(text)
        header = next(rows, [])
        _require_names(header, name)
        schema = pa.schema([pa.field(title, pa.string()) for title in header])
        filled = _of_width(rows, len(header), name)
        batches, size = [], 0
        while some := list(itertools.islice(filled, _ROWS)):
            columns = [pa.array(values, pa.string()) for values in zip(*some, strict=True)]
            batches.append(pa.record_batch(columns, schema=schema))
            size += batches[-1].nbytes
            _require_bounded(size, name)
    return pa.Table.from_batches(batches, schema)


def _of_width(rows: Iterator[list[str]], width: int, name: str) -> Iterator[Sequence[str | None]]:
    for number, row in enumerate((row for row in rows if row), 1):
        if len(row) > width:
            raise DatasetError(
                f"{width} cells in every row, as in the first line",
                found=f"{len(row)} in row {number} of {name}",
                hint="quote cells that hold a comma",
            )
        yield [*row, *[None] * (width - len(row))]


def _require_names(names: Sequence[str], name: str) -> None:
    """Make sure that each column has a name of its own.

    Raises:
        DatasetError: one has none, or that of another.
    """
    twice = sorted({title for title in names if names.count(title) > 1})
    if "" in names or twice:
        found = f"{twice[0]} twice" if twice and twice[0] else "one without a name"
        raise DatasetError(
            "columns with a name of their own",
            found=f"{found} in {name}",
            hint="rename it, or save the list without an index",
        )


def _columns(table: pa.Table, name: str, column: str) -> ListColumns:
    import pyarrow.compute as pc

    known = next((found for names in _KNOWN if (found := _among(names, table))), [])
    chosen = _among([column], table) if column else known
    if not chosen:
        _lacks(table, name, column)
    paths = pc.coalesce(*(_filled(_text(table, one, name)) for one in chosen))
    _require_paths(paths, name, chosen)
    own = table.drop_columns(chosen)
    if ID_COLUMN not in own.column_names:
        return ListColumns(paths, None, own)
    return ListColumns(paths, _text(own, ID_COLUMN, name), own.drop_columns([ID_COLUMN]))


def _among(names: Sequence[str], table: pa.Table) -> list[str]:
    return [name for name in names if name in table.column_names]


def _lacks(table: pa.Table, name: str, column: str) -> NoReturn:
    has = ", ".join(table.column_names) or "none"
    raise DatasetError(
        f"a column {column or 'path, uri or image'} that is filled in every row",
        found=f"row 1 of {name} with the columns {has}",
        hint="name the column of the images",
    )


def _text(table: pa.Table, column: str, name: str) -> pa.ChunkedArray:
    import pyarrow as pa

    found = table[column]
    kind = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_number = column == ID_COLUMN and pa.types.is_integer(kind)
    if not (is_text or is_number or pa.types.is_string_view(kind) or pa.types.is_null(kind)):
        raise DatasetError(
            f"text in the column {column}", found=f"{found.type} in {name}", hint="convert it"
        )
    return found.cast(pa.string())


def _filled(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the texts with null for those that hold nothing but spaces."""
    import pyarrow as pa
    import pyarrow.compute as pc

    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    return pc.if_else(pc.fill_null(blank, True), pa.scalar(None, pa.string()), texts)


def _require_paths(paths: Any, name: str, chosen: Sequence[str]) -> None:
    import pyarrow.compute as pc

    columns = " or ".join(chosen)
    if paths.null_count:
        row = pc.index(pc.is_null(paths), True).as_py() + 1
        raise DatasetError(
            f"a column {columns} that is filled in every row",
            found=f"nothing in row {row} of {name}",
        )
    if (row := pc.index(pc.match_substring(paths, "\0"), True).as_py()) >= 0:
        raise DatasetError(
            f"paths or URLs in the column {columns}", found=f"a NUL byte in row {row + 1} of {name}"
        )
