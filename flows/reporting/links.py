"""Links from Prefect's pages into MLflow's, if up: a browser opens no file from a server's page."""

from __future__ import annotations

from components.contracts import ModelVersion
from flows.runtime.root_lock import running_up
from flows.runtime.settings import Settings


def mlflow_pages() -> str | None:
    """Return the address of MLflow's pages, from `foveal up` or the user's server; None if none."""
    settings = Settings.from_environment()
    claim = running_up(settings.root) if settings.embedded_tracking else None
    server = claim.addresses.get("mlflow") if claim else settings.mlflow_page
    return server.rstrip("/") if server and server.startswith(("http://", "https://")) else None


def to_page(page: str, text: str) -> str:
    """Markdown that leads to a page below MLflow's address, or the text alone."""
    server = mlflow_pages()
    return f"[{text}]({server}/{page})" if server else text


def to_version(version: ModelVersion) -> str:
    """Markdown that leads to a version's run."""
    label = f"{version.name}/{version.version}"
    return (
        to_page(Settings.from_environment().registry().page(version), label)
        if mlflow_pages()
        else label
    )


def to_model(label: str) -> str:
    """Link `NAME/version` to its run in Markdown; a bundle's name stays as it is."""
    name, _, number = label.partition("/")
    if not number or not mlflow_pages():
        return label
    return to_version(Settings.from_environment().registry().get(name, number))


def with_comparison(page: str, first: str, second: str) -> str:
    """Return a page that ends with the link of `to_comparison`, where there is one."""
    return "\n\n".join(filter(None, (page, to_comparison(first, second))))


def to_comparison(first: str, second: str) -> str:
    """Link two versions, `NAME/version`, side by side in Markdown; empty without MLflow's pages."""
    server = mlflow_pages()
    (name, _, one), (other, _, two) = first.partition("/"), second.partition("/")
    if server is None or name != other or one == two or not (one and two):  # a bundle is no version
        return ""
    page = Settings.from_environment().registry().comparison_url(name, one, two, server)
    return f"[{first} and {second} side by side in MLflow]({page})"
