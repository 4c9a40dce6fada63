"""Command lines of README and documentation: each parses, names what exists, is run or listed."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer
import yaml

from tests.documented import (
    NOT_RUN,
    PAGES,
    PROGRAMS,
    ROOT,
    Command,
    commands,
    fences,
    shell_lines,
    why_not_run,
)

ALL = [command for page in PAGES for command in commands(page)]
SHELL = [command for command in ALL if command.language == "bash"]
# of the Click that Typer uses, its own or the installed one
UsageError = typer.BadParameter.__base__
OURS = ("components", "flows", "foveal", "model_registry")
IN_CONTAINER = re.compile(r"^docker run .*?\sfoveal:\S+ ")


def parse(line: str) -> None:
    """Have Click parse a `foveal` line as the command would, and run nothing.

    Raises:
        UsageError: the command does not take the line.
    """
    from flows.cli.main import app

    found, arguments = typer.main.get_command(app), shlex.split(line)[1:]
    context = found.make_context("foveal", [*arguments])
    while hasattr(found, "commands"):
        name, found, arguments = found.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        context = found.make_context(name, arguments, parent=context)


@pytest.mark.parametrize(
    "line", ["foveal release", "foveal gates parts", "foveal predict parts shots/ --outputs x"]
)
def test_a_line_that_a_command_does_not_take_is_found(line):
    with pytest.raises(UsageError):
        parse(line)


def test_lines_are_taken_without_remarks_and_whole():
    block = (
        'export A=1     # one\ncurl -s x \\\n  -d "{\\"a\\": 1}"\nfor db in a b; do\n  dump '
        "$db\ndone\n"
    )
    assert shell_lines(block) == [
        "export A=1",
        'curl -s x -d "{\\"a\\": 1}"',
        "for db in a b; do;   dump $db; done",
    ]


def test_every_foveal_line_parses():
    lines = [IN_CONTAINER.sub("", command.text) for command in SHELL]
    wrong = []
    for line in filter(re.compile("foveal ").match, lines):
        try:
            parse(line)
        except UsageError as error:
            wrong.append(f"{line}: {error.format_message()}")
    assert len(lines) > 60 and wrong == []


def test_every_python_block_compiles():
    blocks = [command for command in ALL if command.language == "python"]
    assert len(blocks) > 5 and all(compile(one.text, one.page, "exec") for one in blocks)


def test_every_name_that_a_python_block_takes_from_our_packages_exists():
    outline = "the outline of"  # of what somebody is to write
    blocks = [
        one for one in ALL if one.language == "python" and not why_not_run(one).startswith(outline)
    ]
    taken = {name for command in blocks for name in names_taken(command.text)}
    assert taken >= {("foveal", "release"), ("foveal", "ReleaseConfig"), ("foveal", "nightly")}
    assert [
        (module, name) for module, name in taken if not hasattr(import_module(module), name)
    ] == []


def names_taken(block: str) -> Iterator[tuple[str, str]]:
    """Module and name of what a block imports from our packages, or takes as `foveal.NAME`."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OURS:
            yield from ((node.module or "", alias.name) for alias in node.names)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "foveal"
        ):
            yield "foveal", node.attr


def test_no_command_hides_in_a_block_that_is_not_tagged_as_one():
    """Command blocks are tagged bash: found here, run by tests/e2e/test_documented_commands.py."""
    starts = re.compile(rf"^(\$ )?({'|'.join(PROGRAMS)}) [a-z-]", re.MULTILINE)
    plain = [(page, text) for page in PAGES for language, text in fences(page) if not language]
    assert [(page, text[:80]) for page, text in plain if starts.search(text)] == []


def test_every_reason_for_not_running_a_line_is_in_use():
    assert [
        pattern
        for pattern in NOT_RUN
        if not any(re.search(pattern, command.sort) for command in ALL)
    ] == []
    assert sum(not why_not_run(command) for command in ALL) > 45


def test_files_of_the_repository_that_a_line_names_exist():
    named = {
        word
        for command in SHELL
        for word in re.findall(
            r"(?<![\w./-])(?:infra|docs|benchmarks|notebooks|tests)/[\w./-]+\w", command.text
        )
        if word != "infra/.env"  # made by the line before
    }
    assert named and [word for word in sorted(named) if not (ROOT / word).exists()] == []


def test_every_make_target_in_a_block_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    used = {shlex.split(command.text)[1] for command in SHELL if command.text.startswith("make ")}
    assert used and used <= targets


def test_every_whole_yaml_is_one_that_its_command_takes(tmp_path: Path):
    """Those with a name and a model are a release's, those with models a deployment's."""
    from flows.config.base import read_config
    from flows.config.deployments import DeploymentsConfig
    from flows.config.release import ReleaseConfig

    seen = []
    for page in PAGES:
        for text in (text for language, text in fences(page) if language == "yaml"):
            values = yaml.safe_load(text)
            kind = ReleaseConfig if {"name", "model"} <= set(values) else DeploymentsConfig
            if {"name", "model"} <= set(values) or "models" in values:
                (tmp_path / "config.yaml").write_text(text)
                read_config(tmp_path / "config.yaml", kind)
                seen.append(kind)
    assert len(seen) >= 7


def test_every_target_in_the_documentation_is_one(tmp_path: Path):
    from components.targets import load_target

    found = [text for page in PAGES for language, text in fences(page) if language == "toml"]
    for text in found:
        (tmp_path / "line3.toml").write_text(text)
        assert load_target(tmp_path / "line3.toml").backends
    assert found


def test_a_command_that_is_not_listed_is_run():
    new = Command("README.md", "bash", "foveal fly parts")
    assert why_not_run(new) == ""
    assert why_not_run(
        Command("README.md", "bash", "foveal release x", ("export FOVEAL_DASK=tcp://x",))
    )
