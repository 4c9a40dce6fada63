"""Batch inference as a flow: a model over many images, whenever somebody asks for it."""

from __future__ import annotations

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from components.contracts import InferenceRun
from components.files import sha256_json
from components.printing import counted
from components.tables import Table
from flows.config.batch_inference import BatchConfig
from flows.reporting.links import to_model
from flows.reporting.outcome import Conclusion, concluded
from flows.runtime.settings import Settings
from flows.tasks.predict import predict_images
from flows.tasks.steps import step


def conclusion(_: BatchConfig, run: InferenceRun) -> Conclusion:
    """Sum a batch up: by which version how many images, and how many could not be read."""
    outcome = "predicted" if run.processed else "nothing predicted"
    total = run.processed + len(run.failures)
    headline = f"{counted(total, 'image')}, {len(run.failures):,} unreadable"
    return Conclusion(run.model, outcome, headline)


@concluded("batch inference", "{config.model}", conclusion)
def batch(config: BatchConfig) -> InferenceRun:
    """Run a model over images and write Parquet: one row per image, one per detection.

    Arguments:
        config: the model, the images and the thresholds.

    Raises:
        FovealError: no such model, a damaged bundle, or no images.
    """
    run = infer(config, config.output or _folder(config))
    publish(run)
    return run


@step("batch inference", cached=False, retries=2)
def infer(config: BatchConfig, output: Path) -> InferenceRun:
    """The same as `foveal predict` does; a run that was killed resumes."""
    return predict_images(
        config.model,
        config.images,
        output,
        column=config.column,
        thresholds={"confidence": config.confidence, "iou": config.iou},
        options=config.options(),
    )


def publish(run: InferenceRun) -> None:
    """Show in the Prefect UI what was predicted by which version, how fast, and where it is."""
    create_markdown_artifact(
        key="batch-inference", markdown=markdown(run), description="What was predicted"
    )


def markdown(run: InferenceRun) -> str:
    """Return a batch as a Markdown page."""
    total = run.processed + len(run.failures)
    rows: list[tuple[str, object]] = [
        ("model", to_model(run.model)),
        ("images", f"{total}, {len(run.failures)} unreadable"),
        ("predicted", run.summary or None),
        ("speed", f"{total / run.seconds:.0f} images/s" if run.seconds else None),
        (run.images.name, f"`{run.images}`"),
        (run.detections.name, f"`{run.detections}`"),
    ]
    failures = [f"- `{failure.image_id}`: {failure.error}" for failure in run.failures[:20]]
    return "\n".join([Table(("what", ""), rows).to_markdown(), "", *failures])


def _folder(config: BatchConfig) -> Path:
    key = sha256_json(config.model_dump(mode="json"))[:8]
    name = "".join(
        letter if letter.isalnum() or letter in "-_." else "-" for letter in Path(config.model).name
    )
    return Settings.from_environment().root / "predictions" / f"{name}-{key}"
