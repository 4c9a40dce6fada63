"""Images in columns: as many as ten million in little memory, with columns of the caller's own."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, overload

from components.daemons import call_within
from components.errors import ConfigError, DatasetError, OutageError
from components.images.bounded import read_bytes
from components.images.lists.reading import LIST_SUFFIXES, ListColumns, read_list
from components.images.names import local_path
from components.images.remote import reason
from components.images.sources import (
    ImageSource,
    list_images,
    listed_image,
    manifest_folder,
    suffix_of,
    tell_apart,
)
from components.limits import Limits
from components.regular import open_regular, require_size

if TYPE_CHECKING:
    import pyarrow as pa

_STEP = 8192  # rows that are Python objects at once


class ImageTable(Sequence[ImageSource]):
    """Images of a list, in columns of Arrow; a slice is a table again.

    Arguments:
        names: the columns `image_id` and `uri`, text.
        own: other columns of the list, a row for each image.
    """

    def __init__(self, names: pa.Table, own: pa.Table) -> None:
        self._names, self.own = names, own

    def __len__(self) -> int:
        return int(self._names.num_rows)

    def __iter__(self) -> Iterator[ImageSource]:
        for start in range(0, len(self), _STEP):
            part = self._names.slice(start, _STEP)
            for image_id, uri in zip(
                part["image_id"].to_pylist(), part["uri"].to_pylist(), strict=True
            ):
                yield ImageSource(image_id, uri)

    @overload
    def __getitem__(self, place: int) -> ImageSource: ...

    @overload
    def __getitem__(self, place: slice) -> ImageTable: ...

    def __getitem__(self, place: int | slice) -> ImageSource | ImageTable:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                rows = list(range(start, stop, step))
                return ImageTable(self._names.take(rows), self.own.take(rows))
            count = max(stop - start, 0)
            return ImageTable(self._names.slice(start, count), self.own.slice(start, count))
        row = range(len(self))[place]
        return ImageSource(self._names["image_id"][row].as_py(), self._names["uri"][row].as_py())


def own_columns(sources: Sequence[ImageSource]) -> pa.Table | None:
    """The caller's own columns of images, a row for each; None where they have none."""
    if isinstance(sources, ImageTable) and sources.own.num_columns:
        return sources.own
    return None


def list_with_columns(source: str | Path, column: str = "") -> Sequence[ImageSource]:
    """List images as `list_images` does, and those of a CSV or Parquet list with its own columns.

    Arguments:
        source: what `list_images` takes.
        column: of a list, which names the image of each row; see `read_list`.

    Raises:
        ConfigError: a URL holds a password, or a column is named and the source is no list.
        DatasetError: the list is damaged, too large or empty, lacks the column, or has an id twice.
        OutageError: the disk or the store does not answer.
    """
    text = str(source)
    path = local_path(text)
    local = None if path is None else Path(os.path.abspath(os.path.expanduser(path)))
    if suffix_of(text) not in LIST_SUFFIXES or (local is not None and not local.is_file()):
        if column:
            raise ConfigError(
                f"a list of images (.csv, .parquet) for the column {column}", found=text
            )
        return list_images(source)
    table = _named(_read(text, local, column), text if local is None else str(local))
    if not len(table):
        raise DatasetError("images", found=f"none in {text}", hint="check the list")
    return table


def _read(text: str, local: Path | None, column: str) -> ListColumns:
    limits = Limits.from_environment()
    if local is None:
        return read_list(io.BytesIO(read_bytes(text)), text, column)
    try:
        with call_within(limits.seconds, partial(open_regular, local)) as file:
            require_size(file.seek(0, io.SEEK_END), limits.bytes, local)
            file.seek(0)
            return read_list(file, str(local), column)
    except TimeoutError as error:
        raise OutageError(
            "an answer of the disk or the share", found=f"{local}: {reason(error)}"
        ) from error
    except OSError as error:
        raise DatasetError("a readable list", found=f"{local}: {error.strerror}") from error


def _named(columns: ListColumns, place: str) -> ImageTable:
    """Sort the images by their ids, which are told apart as `list_images` does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = _names(columns, manifest_folder(place))
    if pc.count_distinct(names["image_id"]).as_py() < len(names):
        images = list(tell_apart(list(ImageTable(names, columns.own))))
        names = _as_names(images)
    order = pc.sort_indices(names["image_id"])
    names, own = names.take(order), columns.own.take(order)
    ids = names["image_id"].combine_chunks() if len(names) else pa.array([], pa.string())
    repeated = pc.index(pc.equal(ids[:-1], ids[1:]), True).as_py() if len(ids) else -1
    if repeated >= 0:
        raise DatasetError(
            "unique image ids",
            found=f"{ids[repeated].as_py()} twice in {place}",
            hint="remove the repeated row, or add a column image_id",
        )
    return ImageTable(names, own)


def _names(columns: ListColumns, folder: str) -> pa.Table:
    import pyarrow as pa

    parts = []
    for start in range(0, len(columns.paths), _STEP):
        paths = columns.paths.slice(start, _STEP).to_pylist()
        ids = columns.ids.slice(start, _STEP).to_pylist() if columns.ids else [None] * len(paths)
        parts.append(
            _as_names([listed_image(folder, *row) for row in zip(paths, ids, strict=True)])
        )
    return pa.concat_tables(parts) if parts else _as_names([])


def _as_names(images: Sequence[ImageSource]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "image_id": pa.array([image.image_id for image in images], pa.string()),
            "uri": pa.array([image.uri for image in images], pa.string()),
        }
    )
