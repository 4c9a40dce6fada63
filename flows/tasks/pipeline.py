"""The pipeline as programs open it: by registered names, bundles and model files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from components.contracts import Variant
from components.inference import pipeline
from components.inference.ensemble.members import Model, is_model_file
from flows.tasks.predict import serving


class InferencePipeline(pipeline.InferencePipeline):
    """Predicts images in this process; see `components.inference.pipeline.InferencePipeline`.

    `open` takes registered models (``"parts"``, ``"parts@champion"``, ``"parts/3"``) and bundles, a
    folder or a zip, with their backend and thresholds, as well as ONNX files that Foveal wrote.

        with InferencePipeline.open("parts@champion", "bolts/3") as pipeline:
            result = pipeline.predict("shot.jpg")
    """

    @classmethod
    def resolve(cls, model: Model) -> AbstractContextManager[Variant]:
        """Return what is run for a model; bundles are checked and unpacked while it is open.

        Raises:
            FovealError: no such model or file, or a damaged bundle.
        """
        if isinstance(model, str | Path) and not is_model_file(model):
            return _released(str(model))
        return super().resolve(model)


@contextmanager
def _released(model: str) -> Iterator[Variant]:
    with serving(model) as served:
        yield served.variant
