"""`foveal gates`: would this version be promoted? Nothing changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.shared import IMPROVING, Json, Refresh, running, show

app = typer.Typer()


@app.command(rich_help_panel=IMPROVING)
def gates(
    model: Annotated[str, typer.Argument(help="Name of a registered model.")],
    challenger: Annotated[str, typer.Argument(help="The version to judge: a number or an alias.")],
    data: Annotated[Path, typer.Option(help="Labelled images: a data.yaml or an image folder.")],
    against: Annotated[str, typer.Option(help="The version to compare with: a number or an alias.")] = "champion",
    golden_split: Annotated[
        str | None, typer.Option(help="The split that is never trained on; by default that of the champion's release.")
    ] = None,
    recent_split: Annotated[
        str | None, typer.Option(help="A split of recent images, on which the challenger must be better.")
    ] = None,
    recent_data: Annotated[Path | None, typer.Option(help="Where that split is, if elsewhere.")] = None,
    refresh: Refresh = False,
    as_json: Json = False,
) -> None:
    """Compare two versions on the same images, as a promotion would; exits with 1 when one gate is not passed."""
    from components.contracts import dump
    from components.images.datasets import dataset_splits, load_dataset
    from flows.cli.screens.gates import show_gates
    from flows.config.base import validate_config
    from flows.config.gates import GatesConfig

    values = {"name": model, "challenger": challenger, "against": against, "data": data}
    values |= {"golden_split": golden_split, "recent_split": recent_split, "recent_data": recent_data}
    config = validate_config(values, GatesConfig, source="the command line")
    dataset_splits(config.data)
    golden = (config.data, config.golden_split) if config.golden_split else None
    for place in filter(None, (golden, config.recent)):
        load_dataset(*place)
    with running(f"gates {model}", as_json, refresh=refresh):
        from flows.gates import check_gates

        report = check_gates(config)
    show({**dump(report), "passed": report.passed, "reasons": report.reasons}, as_json, lambda: show_gates(report))
    if not report.passed:
        raise typer.Exit(1)
