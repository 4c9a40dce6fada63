"""The `foveal` command as a group; `-v`, `-q` and `--log-json` go before or after a command."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli.screens.verbosity import Verbosity, log_as_json, say

_template = typer.Typer(add_completion=False)


class Group(TyperGroup):
    """Gives itself and each command below it the options for how much is said."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        _add_options(self, typer.main.get_command(_template).params)


def _add_options(command: Any, options: list[Any]) -> None:
    command.params = [*command.params, *options]
    for one in getattr(command, "commands", {}).values():
        _add_options(one, options)


def _verbose(given: bool) -> None:
    if given:
        say(Verbosity.VERBOSE)


def _quiet(given: bool) -> None:
    if given:
        say(Verbosity.QUIET)


def _json(given: bool) -> None:
    if given:
        log_as_json()


@_template.command()
def _options(
    verbose: Annotated[
        bool,
        typer.Option(
            "-v",
            "--verbose",
            expose_value=False,
            callback=_verbose,
            help="Log details and tracebacks.",
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "-q",
            "--quiet",
            expose_value=False,
            callback=_quiet,
            help="Show results and errors alone.",
        ),
    ] = False,
    log_json: Annotated[
        bool,
        typer.Option(
            "--log-json",
            expose_value=False,
            is_eager=True,
            callback=_json,
            help="Write notes, progress and errors as one JSON object a line to standard error.",
        ),
    ] = False,
) -> None:
    """Carry the options, as Typer makes them."""
