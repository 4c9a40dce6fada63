"""Run registered versions or bundles without a flow: `foveal predict`, and in programs."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from components.contracts import (
    InferenceRun,
    LoadedModel,
    ModelArtifact,
    ModelVersion,
    Target,
    Variant,
    VisionSpec,
)
from components.datasets.dataset import LabelledDataset
from components.errors import BundleError, ConfigError, NotRegisteredError, UnavailableError
from components.files import replacing
from components.images.lists.image_table import list_with_columns
from components.images.names import local_uri
from components.images.sources import ImageSource
from components.inference import pipeline
from components.inference.batch.settings import BatchSettings, RunOptions, Spread
from components.inference.batch.shards import Shard
from components.inference.ensemble.members import Model, is_model_file
from components.vision import task_for
from flows.config.release import Thresholds
from flows.reporting.progress import advance, note
from flows.runtime.settings import Settings
from model_registry import Registry, check_name

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A released model: how it is to be run, what counts as a detection, and what tables call it.

    With `keep_going` a host that does not answer costs its own images and not the run; `options`
    say how a batch is to be run otherwise than as released.
    """

    artifact: ModelArtifact
    backend: str
    target: Target
    label: str
    thresholds: Thresholds
    keep_going: bool = False
    options: RunOptions = field(default_factory=RunOptions)

    @property
    def variant(self) -> Variant:
        """The file on its backend, under the model's name."""
        return Variant(
            self.label, self.artifact, self.backend, self.thresholds.confidence, self.thresholds.iou
        )

    def run(
        self,
        sources: Sequence[ImageSource],
        output: Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> InferenceRun:
        """Batch inference over images into a folder.

        Raises:
            FovealError: as `run_batch` does.
        """
        from components.inference.batch.run import run_batch

        settings = Settings.from_environment()
        _log.debug(
            "%s: %d images by %s on %s, %s",
            self.label,
            len(sources),
            self.backend,
            self.target.device,
            output,
        )
        with on_cluster(settings.dask) as spread:
            artifact = _shared(self.artifact, settings) if spread else self.artifact
            return run_batch(
                sources,
                replace(self.variant, artifact=artifact),
                output,
                settings=self.options.over(
                    BatchSettings(
                        device=self.target.device,
                        threads=self.target.threads,
                        keep_going=self.keep_going,
                        cache_folder=settings.root / "cache" / "inputs",
                        spread=spread,
                    )
                ),
                progress=progress,
                resumed=lambda done, total: note(
                    [f"goes on after {done} of {total} images, which a run had finished"]
                ),
            )

    def run_dataset(
        self,
        dataset: LabelledDataset,
        output: Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> InferenceRun:
        """Batch inference over the images of a labelled split, by the ids that its labels have.

        Raises:
            FovealError: as `run_batch` does.
        """
        sources = [
            ImageSource(image.image_id, local_uri(str(image.path.resolve())))
            for image in dataset.images
        ]
        return self.run(sources, output, progress)

    def evaluate(
        self, dataset: LabelledDataset, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, float]:
        """Accuracy on a labelled split, by metric.

        Raises:
            FovealError: as `components.benchmark.evaluate` does.
        """
        from components.benchmark import evaluate

        target = self.target
        return evaluate(
            self.artifact,
            self.backend,
            dataset,
            device=target.device,
            threads=target.threads,
            progress=progress,
        )


def _shared(artifact: ModelArtifact, settings: Settings) -> ModelArtifact:
    """Return the model below the storage root: a cluster's workers see no local scratch folder."""
    place = settings.steps / f"model-{artifact.sha256[:24]}{artifact.path.suffix}"
    if not place.exists() or place.stat().st_size != artifact.path.stat().st_size:
        with replacing(place) as aside:
            shutil.copyfile(artifact.path, aside)
    return replace(artifact, path=place)


def read_bundle(folder: Path, label: str = "") -> Served:
    """Check all files of an unpacked bundle, and return how it is to be run.

    Raises:
        BundleError: a file is missing, another one than was packed, or not part of the bundle.
    """
    from components.package import require_whole

    manifest = require_whole(folder)
    thresholds = Thresholds(confidence=manifest.thresholds.confidence, iou=manifest.thresholds.iou)
    return Served(
        manifest.artifact(folder),
        manifest.backend,
        manifest.target,
        label or manifest.name,
        thresholds,
    )


def served_as(model: LoadedModel) -> Served:
    """Return how a registered version is to be run, under its own name; see `read_bundle`."""
    return read_bundle(model.bundle, model.label)


def open_registry() -> Registry:
    """Open the model registry that the environment names; the storage root is made if missing."""
    settings = Settings.from_environment()
    settings.make_root()
    return settings.registry()


def split_reference(text: str) -> tuple[str, str]:
    """Split `NAME`, `NAME@alias` or `NAME/version` in two; the champion's alias is the default."""
    for mark in "@/":
        name, found, version = text.partition(mark)
        if found:
            return name, version
    return text, "champion"


def predict_images(
    model: str,
    images: str,
    output: Path,
    *,
    column: str = "",
    thresholds: Mapping[str, float | None] | None = None,
    options: RunOptions | None = None,
) -> InferenceRun:
    """Run a model over images and write Parquet to a folder; a killed run resumes.

    Arguments:
        model: a bundle's folder or zip, or a registered `NAME`, `NAME@alias`, `NAME/version`.
        images: a folder, a glob, a manifest, a URL or one image. The other columns of a CSV or
            Parquet list appear in `images.parquet`, after the columns of the results.
        output: folder for the tables of images and of detections, and for `run.json`.
        column: of a list, which names the image of each row; by default `path`, `uri` or `image`.
        thresholds: `confidence` and `iou` of `Thresholds`; those that are None, as released.
        options: how it is run, where that is to be otherwise than as released.

    Raises:
        FovealError: no such model, a damaged bundle, no images, or a host that does not answer.
    """
    sources = list_with_columns(images, column)
    wanted = {name: value for name, value in (thresholds or {}).items() if value is not None}
    with serving(model) as served:
        asked = replace(
            served,
            thresholds=served.thresholds.model_copy(update=wanted),
            options=options or served.options,
        )
        run = asked.run(
            sources, output, lambda done, total: advance("batch inference", done, total)
        )
        return replace(run, summary=_summary(run, served.artifact.spec))


def _summary(run: InferenceRun, spec: VisionSpec) -> str:
    """Say what a run predicted, in the words of its task; empty where no image has a prediction."""
    import pyarrow.parquet as pq

    if not run.processed:
        return ""
    task = task_for(spec)
    names = list(task.drift_columns([], []))
    rows = pq.read_table(run.images, columns=names, filters=[("status", "=", "ok")])
    columns = {name: rows[name].to_numpy() for name in names}
    return task.summarise(columns, spec.class_names)


@contextmanager
def serving(model: str) -> Iterator[Served]:
    """A model unpacked in a place of its own, for as long as it runs.

    A bundle's path goes before a registered name, and that before a folder of other things, such as
    a model's data.

    Arguments:
        model: a bundle's folder or zip, or a registered `NAME`, `NAME@alias`, `NAME/version`.

    Raises:
        FovealError: no such model, or a damaged bundle.
    """
    from components.package import is_bundle, unpack

    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        folder, path = Path(scratch) / "bundle", Path(model)
        if is_bundle(path) or (path.exists() and not _is_reference(model)):
            yield read_bundle(path if path.is_dir() else unpack(path, folder))
        else:
            registry = open_registry()
            version = _registered(registry, model)
            yield read_bundle(
                registry.download_bundle(version, folder), f"{version.name}/{version.version}"
            )


def _is_reference(text: str) -> bool:
    """Tell what may name a registered version from what can only be a path."""
    name, which = split_reference(text)
    try:
        check_name(name)
    except ConfigError:
        return False
    return bool(which) and "/" not in which


def _registered(registry: Registry, model: str) -> ModelVersion:
    """The version that a reference names.

    Raises:
        BundleError: no such model, but something of that name that is no bundle.
        RegistryError: no such version.
    """
    try:
        return registry.get(*split_reference(model))
    except NotRegisteredError as error:
        if not Path(model).exists():
            raise
        raise BundleError(
            "a registered model, or a bundle's folder or zip",
            found=f"no model of that name, and no bundle at {Path(model).absolute()}",
            hint="check the name, or pass the folder that holds manifest.json",
        ) from error


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
            return _variant(str(model))
        return super().resolve(model)


@contextmanager
def _variant(model: str) -> Iterator[Variant]:
    with serving(model) as served:
        yield served.variant


@contextmanager
def on_cluster(address: str, *, connect_s: float = 20.0) -> Iterator[Spread | None]:
    """Yield what hands shards to a Dask cluster; None, which does them here, for an empty address.

    Every worker of the cluster must see the storage root by the same path, and have the same Foveal
    installed.

    Arguments:
        address: of the scheduler, e.g. ``tcp://dask:8786``.
        connect_s: how long to wait for it.

    Raises:
        UnavailableError: `distributed` is not installed, or no scheduler answers.
    """
    if not address:
        yield None
        return
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise UnavailableError(
            "distributed, for FOVEAL_DASK",
            found=str(error),
            hint="pip install 'foveal[dask]', or unset FOVEAL_DASK",
        ) from error
    try:
        client = Client(address, timeout=connect_s, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"a Dask scheduler at {address}",
            found=str(error),
            hint="start it, or unset FOVEAL_DASK",
        ) from error

    def spread(work: Callable[[Shard], None], shards: Sequence[Shard]) -> Iterator[Shard]:
        shared = client.scatter(work, broadcast=True)
        for future in as_completed(
            client.map(_do, shards, work=shared, pure=False), loop=client.loop
        ):
            yield future.result()

    with client:
        yield spread


def _do(shard: Shard, work: Callable[[Shard], None]) -> Shard:
    work(shard)
    return shard
