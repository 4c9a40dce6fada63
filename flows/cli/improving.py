"""`foveal gates`, `ab`, `retrain`: evidence about two versions, and a better one from labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.contracts import AbMode, dump
from components.datasets.dataset import dataset_splits, load_dataset
from components.errors import ConfigError
from flows.cli.screens import results as screen
from flows.cli.shared import IMPROVING, Json, Refresh, require_images, running, show
from flows.config.base import read_values, validate_config
from flows.config.retrain import RetrainConfig
from flows.runtime.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel=IMPROVING)
def gates(
    model: Annotated[str, typer.Argument(help="Name of a registered model.")],
    challenger: Annotated[str, typer.Argument(help="The version to judge: a number or an alias.")],
    data: Annotated[Path, typer.Option(help="Labelled images: a data.yaml or an image folder.")],
    against: Annotated[
        str, typer.Option(help="The version to compare with: a number or an alias.")
    ] = "champion",
    golden_split: Annotated[
        str | None,
        typer.Option(
            help="The split that is never trained on; by default that of the champion's release."
        ),
    ] = None,
    recent_split: Annotated[
        str | None,
        typer.Option(help="A split of recent images, on which the challenger must be better."),
    ] = None,
    recent_data: Annotated[
        Path | None, typer.Option(help="Where that split is, if elsewhere.")
    ] = None,
    refresh: Refresh = False,
    as_json: Json = False,
) -> None:
    """Compare two versions on the same images, as for promotion; exit 1 unless all gates pass."""
    from flows.config.gates import GatesConfig

    values = {"name": model, "challenger": challenger, "against": against, "data": data}
    values |= {
        "golden_split": golden_split,
        "recent_split": recent_split,
        "recent_data": recent_data,
    }
    config = validate_config(values, GatesConfig, source="the command line")
    dataset_splits(config.data)
    golden = (config.data, config.golden_split) if config.golden_split else None
    for place in filter(None, (golden, config.recent)):
        load_dataset(*place)
    with running(f"gates {model}", as_json, refresh=refresh):
        from flows.gates import check_gates

        report = check_gates(config)
    value = {**dump(report), "passed": report.passed, "reasons": report.reasons}
    show(value, as_json, screen.gates(report))
    if not report.passed:
        raise typer.Exit(1)


@app.command(rich_help_panel=IMPROVING)
def ab(
    name: Annotated[str, typer.Argument(help="A registered model.")],
    a: Annotated[str, typer.Argument(metavar="A", help="A version number, an alias, or a bundle.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    images: Annotated[str, typer.Option(help="A folder, a glob, a manifest or a URL of images.")],
    labels: Annotated[
        Path | None, typer.Option(help="Their labels: a data.yaml or an image folder.")
    ] = None,
    labels_split: Annotated[str, typer.Option(help="The split of the labels.")] = "val",
    mode: Annotated[
        AbMode, typer.Option(help="Both see every image, or each its share.")
    ] = AbMode.SHADOW,
    share: Annotated[float, typer.Option(help="Of the images that B sees in a split.")] = 0.5,
    delta: Annotated[
        float, typer.Option(help="The smallest difference of mean scores that matters.")
    ] = 0.02,
    samples: Annotated[
        int | None, typer.Option(help="Judge once, at this number; by default planned by δ.")
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Judge at any time, by an always-valid test.")
    ] = False,
    experiment: Annotated[
        str | None, typer.Option(help="Name of the test; one of that name goes on.")
    ] = None,
    salt: Annotated[
        str | None, typer.Option(help="Divides the images; by default the test's name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two versions, shadow or split, with a verdict; a rerun with more images goes on."""
    from flows.config.ab_test import AbConfig

    values = {
        "name": name, "a": a, "b": b, "images": images, "labels": labels,
        "labels_split": labels_split, "mode": mode, "share": share, "delta": delta,
        "samples": samples, "sequential": sequential, "experiment": experiment,
        "salt": salt,
    }  # fmt: skip
    parameters = validate_config(values, AbConfig, source="the command line")
    require_images(images)
    if labels is not None:
        load_dataset(labels, labels_split)
    with running(f"ab {name}: {a} and {b}", as_json):
        from flows.ab_test import ab_test

        done = ab_test(parameters)
    show(done.to_json(), as_json, screen.ab(done))


@app.command(rich_help_panel=IMPROVING)
def retrain(
    name: Annotated[str, typer.Argument(help="Name of a registered model.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="New labelled images: a data.yaml or an image folder; by default what labelling "
            "returned."
        ),
    ] = None,
    labels_split: Annotated[
        str | None, typer.Option(help="The split that holds them; train by default.")
    ] = None,
    trigger: Annotated[
        str | None, typer.Option(help="by hand, drift, accuracy or schedule; by hand by default.")
    ] = None,
    event: Annotated[
        str | None, typer.Option(help="Id of what started it; a repeated one does nothing.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file with further parameters; what is given here goes before it."
        ),
    ] = None,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle", help="Load the champion's checkpoint although nobody trusted it here."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune the champion on new labels, put the challenger through chain and gates, decide."""
    from flows.tasks.readiness import require_trainer

    values = read_values(config, RetrainConfig) if config else {}
    if values.get("name", name) != name:
        raise ConfigError(
            f"parameters to retrain {name}",
            found=f"{values['name']} in {config}",
            hint="name one model",
        )
    said = {"name": name, "trigger": trigger, "event": event, "trust_pickle": trust_pickle or None}
    of_data = {"labels": labels, "labels_split": labels_split}
    values |= {key: value for key, value in said.items() if value is not None}
    if given := {key: value for key, value in of_data.items() if value is not None}:
        values["data"] = {**(values.get("data") or {}), **given}
    parameters = validate_config(values, RetrainConfig, source=str(config or "the command line"))
    require_trainer(name, Settings.from_environment())
    with running(f"retrain {name}", as_json):
        from flows.retrain import retrain as flow

        done = flow(parameters)
    show(done.to_json(), as_json, screen.retraining(done))
