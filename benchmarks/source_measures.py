"""Measures of the source by its syntax trees: sizes, parameters, questions of task or backend.

Docstrings and comments count as the lines that they fill at 100 columns, so that trees with longer
lines of prose compare fairly; code is expected to be formatted alike.
"""

from __future__ import annotations

import ast
import math
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PACKAGES = ("foveal", "flows", "components", "model_registry")
TASKS = frozenset({"detect", "classify", "segment"})
BACKENDS = frozenset({"onnxruntime", "openvino", "tensorrt", "torch"})
PREDICTIONS = frozenset({"Detections", "Classification"})
# Plug-ins may ask which task or backend they are; components/images is where formats were before
# the layout.
PLUG_INS = (
    "components/vision/",
    "components/backends/",
    "components/datasets/formats",
    "components/training/trainers",
    "components/images/label_formats",
    "components/contracts",
)
FOLDER_FILES = 13  # most that a folder of source may hold
COLUMNS = 100  # of prose; what is longer flows on, as an editor would wrap it
COMMANDS = ("flows/cli", "flows/commands")  # the second before the layout
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function or method of the source.

    Arguments:
        place: file and line, e.g. ``"flows/release.py:48"``.
        name: as defined.
        lines: from `def` to its last line; decorators are not counted.
        parameters: without `self` and `cls`.
        is_command: it is decorated as a command of the CLI, whose parameters are its options.
    """

    place: str
    name: str
    lines: int
    parameters: int
    is_command: bool


@dataclass(frozen=True)
class Module:
    """A parsed source file.

    Arguments:
        path: relative to the root of the tree, with forward slashes.
        lines: all lines, blank ones too; docstrings and comments as wrapped at 100 columns.
        code: lines without docstrings, comments and blank lines.
        tree: its syntax tree.
    """

    path: str
    lines: int
    code: int
    tree: ast.Module


@dataclass(frozen=True)
class Measures:
    """Figures of a source tree.

    Arguments:
        folder_files: files of the folder that holds most.
        file_lines: lines of the longest file.
        function_p95: 95th percentile of the lines of a function.
        parameters: most parameters of a function that is no command.
        branches: questions of task or backend outside plug-ins.
        any_per_1000: uses of `Any` per 1,000 lines.
        lines: of all files, docstrings and comments as wrapped at 100 columns.
        code: lines of all files without docstrings, comments and blank lines.
    """

    folder_files: int
    file_lines: int
    function_p95: int
    parameters: int
    branches: int
    any_per_1000: float
    lines: int
    code: int


def read_modules(root: Path) -> list[Module]:
    """Parse every file of our packages below a folder; packages that are not there are left out."""
    paths = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    modules = []
    for path in paths:
        modules.append(
            parse_module(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        )
    return modules


def parse_module(path: str, text: str) -> Module:
    """Parse the text of a source file."""
    tree = ast.parse(text)
    lines = text.splitlines()
    documented = _docstring_lines(tree)
    filled = {number for number, line in enumerate(lines, 1) if line.strip()}
    comments = {number for number in filled if lines[number - 1].lstrip().startswith("#")}
    prose = [
        line.rstrip() if number in documented | comments else ""
        for number, line in enumerate(lines, 1)
    ]
    total = len(lines) + added_by_wrapping(prose)
    return Module(path, total, len(filled - comments - documented), tree)


def added_by_wrapping(lines: list[str]) -> int:
    """Count the lines that wrapping prose at 100 columns adds.

    What does not fit a line goes to the front of the next one, unless that one is empty or less
    indented; it has lines of its own then.
    """
    added, rest = 0, ""
    for line, following in pairwise([*lines, ""]):
        others = textwrap.wrap(f"{rest} {line.strip()}".strip(), COLUMNS - _indent(line))[1:]
        ends = not following or _indent(following) < _indent(line)
        added += len(others) if ends else 0
        rest = "" if ends else " ".join(others)
    return added


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _docstring_lines(tree: ast.Module) -> set[int]:
    """Collect the numbers of the lines of all docstrings."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | _Function)
            and ast.get_docstring(node, clean=False) is not None
        ):
            found.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return found


def measure_source(modules: list[Module]) -> Measures:
    """Measure a parsed source tree."""
    found = [function for module in modules for function in functions(module)]
    lengths = sorted(function.lines for function in found)
    total = sum(module.lines for module in modules)
    uses = sum(uses_of_any(module.tree) for module in modules)
    return Measures(
        folder_files=max(files_by_folder(modules).values()),
        file_lines=max(module.lines for module in modules),
        function_p95=lengths[math.ceil(0.95 * len(lengths)) - 1],
        parameters=max(function.parameters for function in found if not function.is_command),
        branches=sum(len(branches(module)) for module in modules),
        any_per_1000=1000 * uses / total,
        lines=total,
        code=sum(module.code for module in modules),
    )


def files_by_folder(modules: list[Module]) -> Counter[str]:
    """Count the Python files of each folder, `__init__.py` included."""
    return Counter(module.path.rpartition("/")[0] for module in modules)


def functions(module: Module) -> Iterator[Function]:
    """Yield the functions and methods of a file, nested ones too."""
    for node in ast.walk(module.tree):
        if isinstance(node, _Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            command = module.path.startswith(COMMANDS) and any(
                map(_is_command, node.decorator_list)
            )
            yield Function(
                f"{module.path}:{node.lineno}", node.name, lines, _parameters(node.args), command
            )


def branches(module: Module) -> list[str]:
    """List places outside plug-ins that ask for a model task, a prediction type or a backend name.

    Counted are comparisons with a member of `TaskType` or a task's or backend's name, `isinstance`
    of the two types of predictions, and cases of a `match` with any of these; a look into
    `sys.modules` is none.
    """
    if module.path.startswith(PLUG_INS):
        return []
    return [f"{module.path}:{_line(node)}" for node in ast.walk(module.tree) if _asks(node)]


def uses_of_any(tree: ast.Module) -> int:
    """Count where `Any` is written as a type; its imports are not counted."""
    return sum(
        (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and node.attr == "Any")
        for node in ast.walk(tree)
    )


def _parameters(arguments: ast.arguments) -> int:
    named = [*arguments.posonlyargs, *arguments.args]
    own = bool(named) and named[0].arg in ("self", "cls")
    return (
        len(named)
        - own
        + len(arguments.kwonlyargs)
        + bool(arguments.vararg)
        + bool(arguments.kwarg)
    )


def _is_command(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr in ("command", "callback")


def _line(node: ast.AST) -> int:
    return node.pattern.lineno if isinstance(node, ast.match_case) else getattr(node, "lineno", 0)


def _asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        return any(map(_names_one, operands)) and not any(map(_is_sys_modules, operands))
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "isinstance"
    ):
        return any(
            _last_name(one) in PREDICTIONS
            for argument in node.args[1:]
            for one in ast.walk(argument)
        )
    if isinstance(node, ast.match_case):
        return any(
            (isinstance(one, ast.MatchValue) and _names_one(one.value))
            or (isinstance(one, ast.MatchClass) and _last_name(one.cls) in PREDICTIONS)
            for one in ast.walk(node.pattern)
        )
    return False


def _names_one(operand: ast.expr) -> bool:
    """Tell whether an operand is a task or a backend, or a literal collection that holds one."""
    if isinstance(operand, ast.Tuple | ast.List | ast.Set):
        return any(map(_names_one, operand.elts))
    if isinstance(operand, ast.Constant):
        return operand.value in TASKS | BACKENDS
    return isinstance(operand, ast.Attribute) and _last_name(operand.value) == "TaskType"


def _is_sys_modules(operand: ast.expr) -> bool:
    return isinstance(operand, ast.Attribute) and operand.attr == "modules"


def _last_name(node: ast.AST) -> str:
    """Return the last part of a dotted name; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
