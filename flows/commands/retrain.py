"""`foveal retrain`: a better model from new labels, if the gates say so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.shared import Json, running, show

app = typer.Typer()


@app.command()
def retrain(
    name: Annotated[str, typer.Argument(help="Name of a registered model.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="New labelled images: a data.yaml or an image folder; by default what labelling returned."),
    ] = None,
    labels_split: Annotated[str, typer.Option(help="The split that holds them.")] = "train",
    trigger: Annotated[str, typer.Option(help="by hand, drift, accuracy or schedule.")] = "by hand",
    event: Annotated[str, typer.Option(help="Id of what started it; a repeated one does nothing.")] = "",
    config: Annotated[Path | None, typer.Option(help="A YAML file with further parameters.")] = None,
    as_json: Json = False,
) -> None:
    """Fine-tune the champion on new labels, send the challenger through the chain and the gates, and decide."""
    from flows.commands.retrain_screen import show_retraining
    from flows.config import read_values, validate_config
    from flows.config_retraining import RetrainConfig

    given = read_values(config, RetrainConfig) if config else {}
    data = {**given.get("data", {}), **({"labels": labels, "labels_split": labels_split} if labels else {})}
    values = {**given, "name": name, "trigger": trigger, "event": event, "data": data}
    parameters = validate_config(values, RetrainConfig, source=str(config or "the command line"))
    with running(f"retrain {name}", as_json):
        from flows.retraining import retrain as flow

        done = flow(parameters)
    show(done.to_json(), as_json, lambda: show_retraining(done))
