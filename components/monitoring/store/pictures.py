"""Small pictures of stored images, and those that a reference keeps."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from components.errors import FovealError
from components.images.reading import read_image
from components.monitoring.drift.tables import METADATA_KEY, NAMES, spread_rows

if TYPE_CHECKING:
    import pyarrow as pa

_SIDE = 160  # px
_QUALITY = 70
_KEPT = 12  # pictures of a condition in a reference


@dataclass(frozen=True)
class Picture:
    """A thumbnail: the image's name, and a JPEG of at most 160 px as a data URI."""

    name: str
    source: str


def picture_of(name: str, uri: str | None) -> Picture | None:
    """The thumbnail of an image; None for one that is gone, unreadable or nowhere known to be."""
    if uri is None:
        return None
    try:
        image = read_image(uri)
    except FovealError:
        return None
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return Picture(name, f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}")


def kept_pictures(rows: pa.Table, conditions: npt.NDArray[np.str_]) -> list[dict[str, object]]:
    """Make thumbnails of a few evenly spread rows, as a reference keeps them.

    The images may be gone later, or elsewhere.

    Arguments:
        rows: the reference's; without `image_id` and `uri` nothing is kept.
        conditions: of each row (n,); a few rows of each are kept.
    """
    if not set(NAMES) <= set(rows.column_names):
        return []
    alike = [np.flatnonzero(conditions == name) for name in np.unique(conditions)]
    places = sorted({int(row) for group in alike for row in group[spread_rows(len(group), _KEPT)]})
    named = rows.select(NAMES).take(places).to_pylist()
    found = (
        (place, picture_of(str(row["image_id"]), row["uri"]))
        for place, row in zip(places, named, strict=True)
    )
    return [
        {"row": place, "name": picture.name, "source": picture.source}
        for place, picture in found
        if picture
    ]


def reference_pictures(path: Path) -> list[tuple[int, Picture]]:
    """Read the rows and pictures that `kept_pictures` put into a reference; none in older ones."""
    import pyarrow.parquet as pq

    kept = json.loads(pq.read_schema(path).metadata[METADATA_KEY]).get("pictures", ())
    return [(entry["row"], Picture(entry["name"], entry["source"])) for entry in kept]
