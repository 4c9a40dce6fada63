"""A model file without its name and its neighbours, for libraries that act on them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import UnavailableError


@contextmanager
def neutral_copy(path: Path, suffix: str) -> Iterator[Path]:
    """Copy a model file as `model` + `suffix` into a private, otherwise empty folder for the block.

    Ultralytics opens `yolov5nu.pt` where it is asked for `yolov5n.pt`, drops apostrophes from a
    path, and downloads what it then does not find. A name that means nothing, alone in its folder,
    leaves nothing to act on.

    Raises:
        UnavailableError: the folder for temporary files has an apostrophe in its own name.
    """
    with private_folder() as folder:
        copy = folder / f"model{suffix}"
        shutil.copyfile(path, copy)
        yield copy


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new temporary folder that only this user can enter, by a name that no library changes.

    Raises:
        UnavailableError: the folder for temporary files has an apostrophe in its own name.
    """
    if "'" in (place := tempfile.gettempdir()):
        raise UnavailableError(
            "a folder for temporary files without an apostrophe in its path, which Ultralytics "
            "drops",
            found=place,
            hint="set TMPDIR to another folder",
        )
    with tempfile.TemporaryDirectory(prefix="foveal-model-") as folder:
        yield Path(folder)
