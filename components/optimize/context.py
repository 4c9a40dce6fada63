"""Context and protocol of optimization passes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from components.contracts import BATCH, Format, ModelArtifact, Precision
from components.contracts.arrays import Image
from components.errors import PassError


@dataclass(frozen=True, eq=False)
class PassContext:
    """Context of a pass: what it may use beside the model.

    Arguments:
        workdir: folder that products are written to.
        calibration: (height, width, 3) uint8 BGR model inputs, already fitted, from the user's own
            images; needed by the passes that learn activation ranges, and what every equivalence is
            proved on where there are some.
        calibration_sha256: content hash of the dataset they come from, for the record; hashed here
            when empty.
        trust_pickle: the user's word that a checkpoint may be unpickled.
        batch: the largest number of images that the product will be given in one call.
        calibration_s: how long calibration may take from one image to the next, and after the last.
    """

    workdir: Path
    calibration: Sequence[Image] | None = None
    calibration_sha256: str = ""
    trust_pickle: bool = False
    batch: int = BATCH
    calibration_s: float = 1800.0

    def samples_for(self, artifact: ModelArtifact, limit: int) -> list[Image]:
        """Up to `limit` calibration inputs, evenly spread over all there are.

        Raises:
            PassError: there are none, or one is not an input of this model.
        """
        if not self.calibration:
            raise PassError(
                "a calibration set to learn activation ranges from",
                found="none",
                hint="give some hundred images like those the model will see",
            )
        wanted = (*artifact.spec.input_size, 3)
        for number, sample in enumerate(self.calibration):
            if sample.shape != wanted or sample.dtype != np.uint8:
                raise PassError(
                    f"calibration inputs of shape {wanted}, uint8",
                    found=f"{sample.shape}, {sample.dtype} at position {number}",
                    hint="fit the images to the model's input first",
                )
        count = min(limit, len(self.calibration))
        return [self.calibration[i * len(self.calibration) // count] for i in range(count)]

    def calibration_hash(self) -> str:
        """Content hash of the calibration set."""
        if self.calibration_sha256:
            return self.calibration_sha256
        digest = hashlib.sha256()
        for sample in self.calibration or ():
            digest.update(np.ascontiguousarray(sample).tobytes())
        return digest.hexdigest()


class OptimizationPass(Protocol):
    """A frozen dataclass whose fields are its configuration: a model file in, another one out."""

    name: ClassVar[str]
    accepts: ClassVar[frozenset[Format]]
    produces: ClassVar[Format]

    def apply(self, artifact: ModelArtifact, context: PassContext) -> ModelArtifact:
        """Make the product in `context.workdir` and describe it; the input file stays as it is.

        Raises:
            PassError: it cannot be made, or it does not compute what it should.
        """


def require(
    artifact: ModelArtifact, step: OptimizationPass, precision: Precision | None = None
) -> None:
    """Refuse an artifact that a pass cannot take.

    Raises:
        PassError: its format or its precision is not what the pass starts from.
    """
    if artifact.format not in step.accepts:
        raise PassError(
            f"a model in {' or '.join(sorted(step.accepts))} for pass {step.name}",
            found=artifact.format,
        )
    if precision and artifact.precision is not precision:
        raise PassError(
            f"an {precision.upper()} model for pass {step.name}",
            found=f"{artifact.precision.upper()} in {artifact.path.name}",
            hint=f"start from the {precision.upper()} model",
        )


def product_path(artifact: ModelArtifact, context: PassContext, ending: str) -> Path:
    """Return a pass's output path: the model's name with another ending, in the working folder.

    Raises:
        PassError: that is the input file itself.
    """
    stem = artifact.path.stem.removesuffix(".fp32")
    target = context.workdir / f"{stem}.{ending}"
    if target.resolve() == artifact.path.resolve():
        raise PassError(
            "a working folder beside the model's",
            found=str(context.workdir),
            hint="choose another folder",
        )
    return target
