"""`foveal labels`: hand images to people, take their labels back, see how many are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.contracts import dump
from components.datasets.formats import Exported, LabelFormat
from components.labelling import LabelImport, LabelStatus
from flows.cli.screens import labels as screen
from flows.cli.screens.progress import progress
from flows.cli.shared import Json, show

app = typer.Typer(help="Hand images to people, take their labels back.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="A registered model: NAME, NAME@alias or NAME/version.")]


@app.command("export")
def export(
    model: Model,
    output: Annotated[Path, typer.Option(help="A new or empty folder.")],
    form: Annotated[
        LabelFormat, typer.Option("--format", help="Of which tool.")
    ] = LabelFormat.LABEL_STUDIO,
    size: Annotated[int, typer.Option(min=1, help="Images, at most.")] = 200,
    as_json: Json = False,
) -> None:
    """Write the images that are most worth a label, with the model's own labels to correct."""
    from flows.tasks.labelling import export_queue, labelled_model

    with progress(as_json), labelled_model(model) as found:
        done: Exported = export_queue(found, output, form, size)
    show(dump(done), as_json, screen.exported(done, form))


@app.command("import")
def take(
    model: Model,
    path: Annotated[
        Path, typer.Argument(help="Label Studio's JSON, a YOLO or image folder, or COCO's JSON.")
    ],
    form: Annotated[
        LabelFormat | None,
        typer.Option("--format", help="Of which tool; by default what it looks like."),
    ] = None,
    confirmed: Annotated[
        bool,
        typer.Option(
            "--confirmed",
            help="Labels left as they were exported were looked at too (YOLO, COCO), "
            "and images without annotations show nothing (COCO).",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep labels for good; a later label of the same image replaces the earlier one."""
    from flows.tasks.labelling import import_from, labelled_model

    with progress(as_json), labelled_model(model) as found:
        done: LabelImport = import_from(found, path, form, confirmed=confirmed)
    show(dump(done), as_json, screen.imported(done))


@app.command("status")
def status(
    model: Model,
    minimum: Annotated[
        int | None,
        typer.Option(
            min=1, help="Labels that a retraining needs; by default what its parameters say."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Those parameters: a retrain.yaml or a foveal.yaml.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count the images queued, handed out, labelled, and the labels a retraining still needs."""
    from components.labelling import label_status
    from flows.config.deployments import retraining_of
    from flows.tasks.labelling import about_of, book, labelled_model

    with progress(as_json), labelled_model(model) as found:
        name = found.version.name
        needed = minimum or retraining_of(name, config).labels_needed
        done: LabelStatus = label_status(book(name), about_of(found.spec), minimum=needed)
    show(dump(done), as_json, screen.status(done))
