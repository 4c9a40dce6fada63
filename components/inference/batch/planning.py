"""Planning of a batch run: its images by name and content, streamed, and the key of its results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from components.contracts import VisionSpec
from components.errors import DatasetError
from components.files import sha256_json
from components.images.lists.image_table import ImageTable, own_columns
from components.images.sources import ImageSource, fingerprints

# raise when the tables' columns or their meaning change: earlier results are then made anew
LAYOUT = 2
_ROWS = 8192  # of the caller's own columns, hashed at once


def check_ids(sources: Sequence[ImageSource]) -> None:
    """Make sure that image ids are unique; those of an `ImageTable` are.

    Raises:
        DatasetError: two images have the same.
    """
    if isinstance(sources, ImageTable):
        return
    seen: dict[str, str] = {}
    for source in sources:
        if source.image_id in seen:
            raise DatasetError(
                "a different image_id for every image",
                found=f"{source.image_id!r} for both {seen[source.image_id]} and {source.uri}",
            )
        seen[source.image_id] = source.uri


def run_key(shaping: Mapping[str, object], spec: VisionSpec, sources: Sequence[ImageSource]) -> str:
    """Hash everything that a run's results depend on, image by image, as hex sha256.

    Arguments:
        shaping: the settings that shape results.
        spec: of the model.
        sources: the images; the caller's own columns count.
    """
    digest = hashlib.sha256()
    for piece in _as_json(shaping, asdict(spec), sources):
        digest.update(piece.encode())
    key = digest.hexdigest()
    return sha256_json([key, own]) if (own := _own_hash(sources)) else key


def _as_json(
    shaping: Mapping[str, object], spec: Mapping[str, object], sources: Sequence[ImageSource]
) -> Iterator[str]:
    """Yield in pieces what `sha256_json` would hash as one text."""
    head = json.dumps([shaping, spec], sort_keys=True, default=str)
    yield f"{head[:-1]}, ["
    for number, values in enumerate(fingerprints(sources)):
        yield f"{', ' if number else ''}{json.dumps(values)}"
    yield "]]"


def _own_hash(sources: Sequence[ImageSource]) -> str:
    if (own := own_columns(sources)) is None:
        return ""
    digest = hashlib.sha256(str(own.schema).encode())
    for start in range(0, len(own), _ROWS):
        digest.update(repr(own.slice(start, _ROWS).to_pydict()).encode())
    return digest.hexdigest()
