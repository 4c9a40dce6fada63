"""Ledger of images already taken, so that after any failure none is skipped or taken twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import ConfigError
from components.files import sha256_json
from components.images.object_store import Folder, checked_part, undamaged
from components.images.sources import ImageSource, fingerprint
from components.runs.by_day import utc

if TYPE_CHECKING:
    import pyarrow as pa

_MARK_BYTES = 16  # at 10⁹ images two share a mark with a probability below 10⁻²⁰
_ABOUT = b"foveal.window"
# columns of a plan: what an ImageSource has, but for the secrets of its URI
_IMAGE = ("image_id", "uri", "state")


@dataclass(frozen=True)
class PlannedWindow:
    """The images of one run.

    Arguments:
        key: names the window everywhere: the run's folder, its rows in the store, its commit.
        images: in the order of their listing.
        planned_at: in UTC.
        version: of the model that it was planned for, which sees it to its end whatever is promoted
            meanwhile.
    """

    key: str
    images: tuple[ImageSource, ...]
    planned_at: datetime
    version: str = ""


class Watermark:
    """Takes each image of a source once: plan a window, do its work under its key, commit it.

    It goes by what was taken, image for image, and not by a time, which would pass over images that
    arrive late. A plan stays until it is committed: whoever asks next after a failure, or at the
    same time, gets the same window with the same key. With work that is idempotent under that key,
    such as `MonitoringStore.append`, every image counts exactly once, whenever a process dies and
    however many there are.

    Windows are numbered. Plan N is written exclusively, the ledger's file N ends it, and only then
    is the plan removed; a plan whose number is in the ledger is void. So a slow process cannot
    bring back what another one has finished. This rests on exclusive creation: see `Folder.create`
    for the stores that have it. On others two processes that plan in the same moment may take the
    same images; run one at a time there.

    Arguments:
        root: a folder or a URL, perhaps that of the monitoring store.
        name: of the model.
        source: what is listed, e.g. ``"s3://bucket/shots"``; each source has a ledger of its own.

    Raises:
        ConfigError: the name is unsafe in a path, or the URL is of no use.
        UnavailableError: by every method too, when the store cannot be reached or refuses.
    """

    def __init__(self, root: str | Path, name: str, source: str | Path) -> None:
        self._folder, self._source = Folder(root), str(source)
        place = f"{checked_part(name, 'name')}/_watermarks/{sha256_json(self._source)[:16]}"
        self._plans, self._ledger, self._asked = (
            f"{place}/plans",
            f"{place}/ledger",
            f"{place}/first-asked",
        )

    def next_window(
        self,
        images: Sequence[ImageSource],
        *,
        at: datetime,
        limit: int | None = None,
        version: str = "",
    ) -> PlannedWindow | None:
        """Return the window to work on: the pending one exactly as planned, else one of new images.

        An image is new if no committed window holds its `fingerprint`: other content under the same
        name is new.

        Arguments:
            images: what the source lists now.
            at: time of now, with a time zone; it is the plan's if there is none yet.
            limit: most images of a new window; the others are left for the next ones.
            version: of the model that a new window is for.

        Returns:
            None if there is nothing new.

        Raises:
            ConfigError: a time without a time zone, or a limit below 1.
            DatasetError: a file of the ledger was damaged.
        """
        planned_at = utc(at, "at")
        if limit is not None and limit < 1:
            raise ConfigError("a limit of at least 1 image", found=str(limit))
        while True:
            number = self._tidy()
            plan = self._read_plan(number)
            if self._last() >= number:
                # another process has committed it since we looked: what we read may be void
                continue
            if plan is not None:
                return _window_of(plan, images)
            fresh = self._fresh(images)
            if not fresh:
                return None
            self._folder.create(
                self._plan(number), self._planned(number, fresh[:limit], planned_at, version)
            )

    def last_found(self, *, at: datetime) -> datetime:
        """Return when the newest finished window was planned, or else when this was first asked.

        Arguments:
            at: time of now, with a time zone.

        Raises:
            ConfigError: a time without a time zone.
            DatasetError: a file of the ledger was damaged.
        """
        if done := self._folder.files(self._ledger):
            return datetime.fromisoformat(
                _about(self._table(f"{self._ledger}/{done[-1]}"))["planned_at"]
            )
        self._folder.create(self._asked, utc(at, "at").isoformat().encode())
        (first,) = self._folder.read_all([self._asked])
        return datetime.fromisoformat(first.decode()) if first else utc(at, "at")

    def commit(self, window: PlannedWindow) -> None:
        """Enter a window's images into the ledger; a second commit changes nothing.

        Raises:
            ConfigError: the window is not the pending one.
            DatasetError: a file of the ledger was damaged.
        """
        number = self._last() + 1
        plan = self._read_plan(number)
        if window.key not in self._committed():
            # asked last, as another process may be committing it
            if plan is None or _about(plan)["key"] != window.key:
                pending = "none" if plan is None else _about(plan)["key"]
                raise ConfigError(
                    "the pending window",
                    found=f"{window.key}, while {pending} is",
                    hint="ask for the next window",
                )
            self._folder.create(
                f"{self._ledger}/{number:08d}-{window.key}.parquet", _parquet(plan.select(["mark"]))
            )
        self._tidy()

    def _tidy(self) -> int:
        """Remove void plans; returns the number of the next window."""
        number = self._last() + 1
        for name in self._folder.files(self._plans):
            if int(name.partition(".")[0]) < number:
                self._folder.remove(f"{self._plans}/{name}")
        return number

    def _last(self) -> int:
        """Number of the last committed window, 0 if there is none."""
        return max(
            (int(name.partition("-")[0]) for name in self._folder.files(self._ledger)), default=0
        )

    def _committed(self) -> set[str]:
        return {
            name.partition("-")[2].removesuffix(".parquet")
            for name in self._folder.files(self._ledger)
        }

    def _plan(self, number: int) -> str:
        return f"{self._plans}/{number:08d}.parquet"

    def _read_plan(self, number: int) -> pa.Table | None:
        """The plan of that number, or None."""
        path = self._plan(number)
        try:
            return self._table(path) if self._folder.exists(path) else None
        except FileNotFoundError:  # committed and removed in between
            return None

    def _fresh(self, images: Sequence[ImageSource]) -> list[tuple[bytes, ImageSource]]:
        """Those that are in no committed window, each with its mark."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = {_mark(image): image for image in images}
        marks = pa.array(found, pa.binary(_MARK_BYTES))
        for name in self._folder.files(self._ledger):
            taken = self._table(f"{self._ledger}/{name}")["mark"]
            marks = marks.filter(pc.invert(pc.is_in(marks, value_set=taken.combine_chunks())))
        return [(mark, found[mark]) for mark in marks.to_pylist()]

    def _planned(
        self,
        number: int,
        fresh: Sequence[tuple[bytes, ImageSource]],
        planned_at: datetime,
        version: str,
    ) -> bytes:
        import pyarrow as pa

        marks, images = zip(*fresh, strict=True)
        key = sha256_json(
            [self._source, number, planned_at.isoformat(), [mark.hex() for mark in marks]]
        )
        about = {
            "key": key,
            "planned_at": planned_at.isoformat(),
            "source": self._source,
            "version": version,
        }
        columns = {
            "mark": pa.array(marks, pa.binary(_MARK_BYTES)),
            "image_id": pa.array([image.image_id for image in images], pa.string()),
            "uri": pa.array([image.address for image in images], pa.string()),
            "state": pa.array([image.state for image in images], pa.string()),
        }
        return _parquet(pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about)}))

    def _table(self, path: str) -> pa.Table:
        import pyarrow.parquet as pq

        with self._folder.open(path) as file, undamaged(path), pq.ParquetFile(file) as parquet:
            return parquet.read()


def _about(plan: pa.Table) -> dict[str, str]:
    about: dict[str, str] = json.loads(plan.schema.metadata[_ABOUT])
    return about


def _window_of(plan: pa.Table, listed: Sequence[ImageSource]) -> PlannedWindow:
    """The window of a plan; where an address has lost its secret, the listing still knows it."""
    about = _about(plan)
    known = {
        (image.image_id, image.address): image.uri for image in listed if image.address != image.uri
    }
    rows = zip(*(plan[name].to_pylist() for name in _IMAGE), strict=True)
    images = tuple(
        ImageSource(name, known.get((name, uri), uri), state) for name, uri, state in rows
    )
    return PlannedWindow(
        about["key"], images, datetime.fromisoformat(about["planned_at"]), about.get("version", "")
    )


def _mark(image: ImageSource) -> bytes:
    """A fingerprint in a few bytes."""
    return hashlib.sha256(json.dumps(fingerprint(image)).encode()).digest()[:_MARK_BYTES]


def _parquet(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    content: bytes = buffer.getvalue().to_pybytes()
    return content
