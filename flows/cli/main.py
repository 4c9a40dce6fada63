"""The `foveal` command: all flows and tools around them, for people and (`--json`) for machines."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
import traceback
from contextlib import suppress
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from components.contracts import dump
from components.credentials import redact
from components.daemons import leave
from components.datasets.classes import in_classes_of
from components.datasets.dataset import load_dataset
from components.errors import ConfigError, FovealError, InputError
from components.files import write_text
from flows.cli import deploy, doctor, improving, labels, up, versions, watching
from flows.cli.group import Group
from flows.cli.screens import results as screen
from flows.cli.screens.console import failure, print_plainly, write_error
from flows.cli.screens.progress import progress, tell_event
from flows.cli.screens.verbosity import Verbosity, log_as_json, verbosity
from flows.cli.shared import (
    IMPROVING,
    KEEP_GOING,
    RUNNING,
    Json,
    Refresh,
    require_images,
    running,
    show,
)
from flows.config.base import read_config
from flows.config.demo import MODEL
from flows.config.release import ReleaseConfig
from flows.runtime.ending import STOPPED, Ended, end_in_order
from flows.runtime.outages import full_disk
from flows.runtime.settings import Settings

_PATHS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
}

app = typer.Typer(
    name="foveal",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bundle_app = typer.Typer(help="Verify and run a deployable bundle.", no_args_is_help=True)
app.add_typer(bundle_app, name="bundle", rich_help_panel=RUNNING)
app.add_typer(watching.app)
app.add_typer(versions.app)
app.add_typer(improving.app)
app.add_typer(deploy.app)
app.add_typer(up.app)
app.add_typer(doctor.app)
app.add_typer(labels.app, name="labels", rich_help_panel=IMPROVING)


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"foveal {version_of('foveal')}\n")
        raise typer.Exit


@app.callback()
def foveal(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take a trained computer-vision model to production and keep it healthy there."""


@app.command(rich_help_panel=RUNNING)
def release(
    config: Annotated[Path, typer.Argument(help="A YAML file; the README shows one of ten lines.")],
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle", help="You trust who made the .pt file: loading it can run any code."
        ),
    ] = False,
    accept_baseline: Annotated[
        bool,
        typer.Option(
            "--accept-baseline",
            help="Go on with a model that, as given, is no better than chance or unlike its own "
            "framework.",
        ),
    ] = False,
    refresh: Refresh = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: compare speeds on a busy machine, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Optimize, benchmark, package, register, run and report on drift."""
    parameters = read_config(config, ReleaseConfig)
    if trust_pickle:
        parameters = parameters.model_copy(
            update={"model": parameters.model.model_copy(update={"trust_pickle": True})}
        )
    if accept_baseline:
        parameters = parameters.model_copy(update={"accept_baseline": True})
    if yes:
        accepted = parameters.benchmark.model_copy(update={"accept_noise": True})
        parameters = parameters.model_copy(update={"benchmark": accepted})
    _check_release(parameters)
    with running(f"release {parameters.name}", as_json, refresh=refresh):
        from flows.release import release as flow

        done = flow(parameters)
    show(done.to_json(), as_json, screen.release(done))


@app.command(rich_help_panel=RUNNING)
def predict(
    model: Annotated[
        str, typer.Argument(help="A registered model (NAME, NAME@alias, NAME/version) or a bundle.")
    ],
    images: Annotated[
        str, typer.Argument(help="A folder, a glob, a manifest, a URL or one image.")
    ],
    output: Annotated[Path, typer.Option(help="Where the Parquet files go.")] = Path("predictions"),
    confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Detections below are dropped; by default as released."),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help=f"{KEEP_GOING}, as long as others do.")
    ] = False,
    column: Annotated[
        str,
        typer.Option(
            help="Of a list (.csv, .parquet): the column that names the image of each row; by "
            "default path, uri or image. Its other columns appear in the results."
        ),
    ] = "",
    parts: Annotated[
        bool | None,
        typer.Option(
            "--parts/--one-file",
            help="Results as folders of Parquet parts, or as single files; by default parts for "
            "more than 50,000 images.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="As the backend calls it, such as cpu; as released.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads of the engine, 0 is all cores; as released."),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images per call of the engine.")] = None,
    decode_threads: Annotated[
        int | None, typer.Option(help="Threads that read and fit images.")
    ] = None,
    cache_mb: Annotated[
        int | None,
        typer.Option(
            help="Keep pre-processed images for the next run over them, so many MB at most.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a model over images and write Parquet: one row per image, one per detection."""
    from components.inference.batch.settings import RunOptions
    from flows.tasks.predict import predict_images

    options = RunOptions(
        device, threads, batch, decode_threads, parts, cache_mb, keep_going=keep_going or None
    )
    asked = {"confidence": confidence}
    with progress(as_json):
        run = predict_images(
            model, images, output, column=column, thresholds=asked, options=options
        )

    tell_event(
        "info",
        "predicted",
        model=run.model,
        images=run.processed + len(run.failures),
        failed=len(run.failures),
        seconds=round(run.seconds, 3),
    )
    show(dump(run), as_json, screen.run(run))
    if run.failures and not run.processed:
        raise typer.Exit(1)


@app.command(rich_help_panel=RUNNING)
def demo(
    as_json: Json = False,
    fresh: Annotated[
        bool, typer.Option(help="Forget finished steps of earlier demos first.")
    ] = False,
) -> None:
    """Run the whole loop on real data: checkpoint, drift alarm, better model; no configuration."""
    from components.backends.yolo import require_ultralytics
    from flows import demo as demonstration

    require_ultralytics(MODEL)
    settings = Settings.from_environment()
    if fresh:
        demonstration.forget(settings)
    with running("demo", as_json):
        done = demonstration.run(settings)
    show(done.to_json(), as_json, screen.demo(done))


@bundle_app.command("verify")
def bundle_verify(
    path: Annotated[Path, typer.Argument(help="A bundle folder or its zip.")], as_json: Json = False
) -> None:
    """Check every checksum and rerun the golden set."""
    from components.package import verify_bundle

    with progress(as_json):
        verification = verify_bundle(path)
    show(dump(verification), as_json, screen.verification(path, verification))
    if not verification.ok:
        raise typer.Exit(1)


@bundle_app.command("run")
def bundle_run(
    path: Annotated[Path, typer.Argument(help="A bundle folder or its zip.")],
    images: Annotated[list[Path], typer.Argument(help="Images to predict.")],
    as_json: Json = False,
) -> None:
    """Predict images with a bundle, as the device would."""
    from components.package import run_bundle

    with progress(as_json):
        predictions = run_bundle(path, images)
    show(predictions, as_json, screen.predictions(predictions))
    if all("error" in row for row in predictions):
        raise typer.Exit(1)


def _check_release(parameters: Any) -> None:
    """Find what is wrong with the input in a second, before a server is started."""
    from components.backends.yolo import require_ultralytics
    from components.targets import load_target

    load_target(parameters.target)
    if not parameters.model.path.is_file():
        raise ConfigError(
            "a model file at model.path",
            found=f"nothing at {parameters.model.path}",
            hint="check the path",
        )
    require_ultralytics(parameters.model.path)
    data = parameters.data
    for split in dict.fromkeys((data.validation_split, data.calibration_split, data.golden_split)):
        labelled = load_dataset(data.labelled, split)
        if parameters.model.class_names:
            in_classes_of(labelled, parameters.model.class_names)
    if data.images:
        require_images(data.images)


def main() -> None:
    """Entry point: a failure is one line on stderr and a non-zero exit, never a traceback."""
    # what a log handler cannot send is not for whoever reads the one line
    logging.raiseExceptions = False
    # for what libraries start: a `flows/` may lie where we are
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    # it logs the tracebacks of what we tell in a line
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    end_in_order()
    print_plainly()
    try:
        _run()
    except SystemExit as ended:
        leave(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise


def _run() -> None:
    """Run a command; whatever it raises becomes one line and an exit code.

    Raises:
        SystemExit: always.
    """
    try:
        _require_directory()
        if "--log-json" in sys.argv[1:]:  # what is wrong with the arguments is an event, too
            log_as_json()
            sys.exit(_run_telling())
        app(standalone_mode=True)
    except Ended:
        failure(STOPPED)
        raise
    except FovealError as error:
        if verbosity() is Verbosity.VERBOSE:
            write_error(Text(redact(traceback.format_exc()), "dim"))
        failure(str(error))
        sys.exit(2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        failure(STOPPED)
        sys.exit(130)
    except Exception as error:
        sys.exit(_fault(error))


def _run_telling() -> int:
    """Run the command, tell of wrong arguments and of its end as events, and give the exit code."""
    started = time.perf_counter()
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        if not hasattr(error, "format_message"):  # Typer's own, which it does not export
            raise
        failure(error.format_message())
        return int(getattr(error, "exit_code", 2))
    finally:
        seconds = round(time.perf_counter() - started, 3)
        tell_event("info", "ended", command=" ".join(sys.argv[1:]), seconds=seconds)
    return code if isinstance(code, int) else 0


def _require_directory() -> None:
    """Find out that the working directory was removed: no path means anything then."""
    try:
        os.getcwd()
    except OSError as error:
        found = f"that the one of this shell cannot be read: {error.strerror}"
        raise ConfigError(
            "a working directory", found=found, hint="change to one that is there"
        ) from error


def _fault(error: Exception) -> int:
    """Say what went wrong when nobody foresaw it, keep the details, and give the exit code."""
    settings = Settings.from_environment()
    if full := full_disk(error, settings):
        failure(str(full))
        return 1
    if isinstance(error, OSError) and error.errno in _PATHS and error.filename:
        failure(
            f"expected a path that can be used, found {error.filename}: {error.strerror}; give "
            "another one"
        )
        return 2
    words = redact(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    report = settings.root / "crash.txt"
    with suppress(Exception):  # writing the report says what is wrong with the root
        settings.make_root()
    try:
        write_text(report, redact(traceback.format_exc()))
        kept = f"details are in {report}"
    except OSError as unwritten:
        kept = f"no details, as {report} could not be written: {unwritten.strerror}"
    failure(f"a fault in Foveal or beneath it: {words}; {kept}")
    return 70
