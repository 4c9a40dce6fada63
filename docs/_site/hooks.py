"""What the site takes from the code: commands, configuration fields, list of decision records."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

DECISIONS = "decisions/"
_FIRST = (
    "ReleaseConfig",
    "NightlyConfig",
    "MonitorConfig",
    "RetrainConfig",
    "GatesConfig",
    "AbConfig",
    "PipelineSettings",
)


def on_config(config: Any) -> Any:
    """Put every decision record into the navigation, in order."""
    folder = Path(config.docs_dir) / "decisions"
    records = [{_title(path): f"{DECISIONS}{path.name}"} for path in sorted(folder.glob("*.md"))]
    for section in config.nav:
        for pages in section.values():
            for page in pages if isinstance(pages, list) else ():
                for name, place in page.items():
                    if place == DECISIONS:
                        page[name] = records
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill the places that are marked for it."""
    for mark, write in (("commands", commands), ("configuration", configuration)):
        if (place := f"<!-- generated: {mark} -->") in markdown:
            markdown = markdown.replace(place, write())
    return markdown


def commands() -> str:
    """Every command with its arguments and options, as Typer tells them."""
    import typer
    from typer.cli import get_docs_for_click

    from flows.cli.main import app

    group = typer.main.get_command(app)
    context = group.make_context("foveal", [], resilient_parsing=True)
    text = get_docs_for_click(obj=group, ctx=context, name="foveal")
    text = text[text.index("\n## ") :]
    text = re.sub(r"\n\* `(?:-\w, )?--(?:help|verbose|quiet)`: [^\n]*", "", text)
    text = text.replace("**Options**:\n\n", "**Options**:\n")
    text = re.sub(r"\{(\w+)\}", lambda match: match[1].upper(), text)
    text = re.sub(r"\*\*(Options|Arguments)\*\*:\n(?!\n?\* )\n*", "", text)
    return text.replace("**Options**:\n*", "**Options**:\n\n*").replace("```console\n$ ", "```\n")


def configuration() -> str:
    """Every field of the parameters of flows and pipeline with its kind, default and meaning."""
    from pydantic import BaseModel

    from components.settings import Parameters

    for path in sorted(
        (Path(importlib.import_module("flows").__file__ or "").parent / "config").glob("[a-z]*.py")
    ):
        importlib.import_module(f"flows.config.{path.stem}")
    importlib.import_module("components.inference.ensemble.settings")
    known = {kind.__name__: kind for kind in _below(Parameters) if kind.model_fields}
    nested = {inner.__name__ for kind in known.values() for inner in _models(kind)}
    ends = len(_FIRST)
    top = [name for name in known if name not in nested]
    order = sorted(top, key=lambda name: _FIRST.index(name) if name in _FIRST else ends)
    shown: list[type[BaseModel]] = []
    for name in order:
        _collect(known[name], shown)
    return "\n\n".join(_section(kind) for kind in shown)


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ").replace("`", "")


def _below(kind: type[Any]) -> list[type[Any]]:
    return [one for child in kind.__subclasses__() for one in (child, *_below(child))]


def _collect(kind: type[Any], shown: list[type[Any]]) -> None:
    if kind not in shown:
        shown.append(kind)
        for inner in _models(kind):
            _collect(inner, shown)


def _models(kind: type[Any]) -> list[type[Any]]:
    from pydantic import BaseModel

    found = []
    for field in kind.model_fields.values():
        found += [
            one
            for one in _parts(field.annotation)
            if isinstance(one, type) and issubclass(one, BaseModel)
        ]
    return found


def _parts(kind: Any) -> list[Any]:
    return (
        [inner for part in get_args(kind) for inner in _parts(part)] if get_args(kind) else [kind]
    )


def _section(kind: type[Any]) -> str:
    fields = sorted(
        kind.model_fields.items(),
        key=lambda item: (item[1].json_schema_extra or {}).get("position", 99),
    )
    rows = [
        f"| `{name}` | {_kind(field.annotation)} | {_default(field)} | "
        f"{_plain(field.description or _about(field))} |"
        for name, field in fields
    ]
    heading = (
        f"## {kind.__name__}\n\n{_intro(kind)}\n\n| field | kind | default | meaning |\n| "
        "--- | --- | --- | --- |\n"
    )
    return heading + "\n".join(rows)


def _intro(kind: type[Any]) -> str:
    return (kind.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()


def _about(field: Any) -> str:
    """Describe a field without words of its own by what its model says."""
    return _intro(field.annotation) if hasattr(field.annotation, "model_fields") else ""


def _kind(kind: Any) -> str:
    from pydantic import BaseModel

    origin = get_origin(kind)
    if origin is Annotated:
        return _kind(get_args(kind)[0])
    if origin is Literal:
        return " · ".join(f"`{value}`" for value in get_args(kind))
    if origin in (Union, UnionType):
        return " or ".join(_kind(part) for part in get_args(kind) if part is not type(None))
    if origin in (list, tuple, dict):
        return f"{origin.__name__} of " + ", ".join(
            dict.fromkeys(_kind(a) for a in get_args(kind) if a is not ...)
        )
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    if isinstance(kind, type) and hasattr(kind, "__members__"):
        return " · ".join(f"`{member.value}`" for member in kind)
    return {
        "str": "text", "bool": "yes or no", "int": "whole number", "float": "number",
        "Path": "path", "datetime": "time",
    }.get(getattr(kind, "__name__", ""), str(kind))  # fmt: skip


def _default(field: Any) -> str:
    if field.is_required():
        return "**needed**"
    if field.default_factory is not None:
        value = field.default_factory()
        return "see there" if hasattr(value, "model_fields") else f"`{value}`"
    if field.default is None or field.default == "":
        return "none"
    return f"`{getattr(field.default, 'value', field.default)}`"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
