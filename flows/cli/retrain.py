"""`foveal retrain`: a better model from new labels, if the gates say so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.errors import ConfigError
from flows.cli.screens import results as screen
from flows.cli.shared import IMPROVING, Json, running, show
from flows.runtime.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel=IMPROVING)
def retrain(
    name: Annotated[str, typer.Argument(help="Name of a registered model.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="New labelled images: a data.yaml or an image folder; by default what labelling returned."),
    ] = None,
    labels_split: Annotated[str | None, typer.Option(help="The split that holds them; train by default.")] = None,
    trigger: Annotated[
        str | None, typer.Option(help="by hand, drift, accuracy or schedule; by hand by default.")
    ] = None,
    event: Annotated[str | None, typer.Option(help="Id of what started it; a repeated one does nothing.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file with further parameters; what is given here goes before it.")
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Load the champion's checkpoint although nobody trusted it here.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune the champion on new labels, send the challenger through the chain and the gates, and decide."""
    from flows.config.base import read_values, validate_config
    from flows.config.retrain import RetrainConfig
    from flows.tasks.readiness import require_trainer

    values = read_values(config, RetrainConfig) if config else {}
    if values.get("name", name) != name:
        raise ConfigError(f"parameters to retrain {name}", found=f"{values['name']} in {config}", hint="name one model")
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
