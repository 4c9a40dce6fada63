"""Log a release: its runs, its logged model, last the version; once for however many processes."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from components.backends import sha256_model
from components.files import flush, sha256_tree
from components.printing import counted
from components.tables import markdown_text
from model_registry.artifacts.model_card import description, model_card
from model_registry.artifacts.pyfunc import save_pyfunc
from model_registry.description import RECORD_SUFFIX, Release, run_tags
from model_registry.facts import HASH_PARAM, facts_of, hashes_of
from model_registry.failures import passing_over
from model_registry.release import runs
from model_registry.store import Store, contended, sqlite_file

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion as Row

_CLASSES_SHOWN = 20


def find_release(store: Store, release: Release) -> int | None:
    """Find the version that a release was registered as; add a hash that an old Foveal lacked."""
    found = _same(store, release)
    if not found:
        return None
    row = found[0]
    if release.source is not None and "source" not in hashes_of(facts_of(store, row)):
        store.client.set_model_version_tag(
            release.name, row.version, "source_sha256", sha256_model(release.source)
        )
    return int(row.version)


def log_release(store: Store, release: Release, tags: dict[str, str]) -> int:
    """Log a release with all that belongs to it and register it; returns the version's number.

    What fails before the version is registered leaves runs marked FAILED. Where another process has
    registered the same release meanwhile, that version is the one, and this one's is removed again.
    """
    card = release.description or model_card(release)
    experiment = runs.experiment_of(store, release.name)
    runs.fail_abandoned(store, experiment, release.key)
    own = {
        **run_tags(release),
        "foveal.kind": "release",
        "mlflow.note.content": card[: runs.NOTE_LENGTH],
    }
    with runs.open_run(store, experiment, f"release · {release.chosen.variant}", own) as run_id:
        number = _next_number(store, release.name)
        with runs.open_model(
            store, experiment, release, run_id, version=number, card=card
        ) as model:
            runs.log_run(store, run_id, release, card, model.model_id)
            runs.log_variants(store, experiment, run_id, release)
            with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
                saved = save_pyfunc(release, Path(scratch) / "model", model, run_id)
                store.client.log_model_artifacts(model.model_id, str(saved))
                # Whoever loads the model runs its code: promotions compare all of its files.
                runs.log_params(store.client, run_id, {f"{HASH_PARAM}pyfunc": sha256_tree(saved)})
        _flush_local(store.client.get_run(run_id).info.artifact_uri, model.artifact_location)
        return _register(store, release, tags, card, run_id, model)


def _flush_local(*locations: str) -> None:
    """Bring artifacts that lie on this machine to the disk before a version speaks of them."""
    for location in locations:
        found = urlsplit(location)
        folder = Path(unquote(found.path))
        if found.scheme in ("", "file") and folder.is_dir():
            flush(folder)


def _register(
    store: Store, release: Release, tags: dict[str, str], card: str, run_id: str, model: LoggedModel
) -> int:
    with passing_over("RESOURCE_ALREADY_EXISTS"):
        store.client.create_registered_model(release.name, description=_about(release))
    if not store.client.get_registered_model(release.name).description:
        store.client.update_registered_model(release.name, _about(release))
    # `models:/ID` would be resolved by MLflow's global tracking URI in this process; a server
    # resolves its own.
    source = f"models:/{model.model_id}" if store.remote else model.artifact_location
    made = contended(
        store.client.create_model_version,
        release.name,
        source,
        run_id=run_id,
        tags=tags,
        description=description(card),
        model_id=model.model_id,
    )
    # As MLflow's own `register_model` does, so that its pages link the logged model with the
    # version.
    link = json.dumps([{"name": release.name, "version": int(made.version)}])
    store.client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": link})
    first, *repeated = _same(store, release)
    for (
        row
    ) in repeated:  # of this process: MLflow's client repeats a call whose answer it did not get
        if row.run_id == run_id:
            store.client.delete_model_version(release.name, row.version)
    return int(first.version)


def _about(release: Release) -> str:
    """Describe a registered model for MLflow; of a single version its own page tells more."""
    spec = release.chosen.artifact.spec
    shown = ", ".join(spec.class_names[:_CLASSES_SHOWN])
    more = len(spec.class_names) - _CLASSES_SHOWN
    classes = markdown_text(shown) + (f" and {more} more" if more > 0 else "")
    return (
        f"Task: {spec.task}, {counted(len(spec.class_names), 'class')}: {classes}.\n\n"
        "Each version is one release of Foveal; alias `champion` is in production. Who decided "
        "that, when and on "
        f"which evidence is in the experiment `{release.name}{RECORD_SUFFIX}`, and in `foveal "
        f"history {release.name}`."
    )


def _next_number(store: Store, name: str) -> int:
    """Return the next version's number of a model; on a server, unless somebody is faster."""
    database = sqlite_file(store)
    if database is not None:
        with closing(sqlite3.connect(database)) as connection:
            # deleted versions keep their numbers
            (last,) = connection.execute(
                "select max(version) from model_versions where name = ?", (name,)
            ).fetchone()
        return int(last or 0) + 1
    newest = store.client.search_model_versions(
        f"name = '{name}'", 1, order_by=["version_number DESC"]
    )
    return int(newest[0].version) + 1 if newest else 1


def _same(store: Store, release: Release) -> list[Row]:
    """The versions of a release, the oldest first."""
    return list(
        store.client.search_model_versions(
            f"name = '{release.name}' and tags.release_key = '{release.key}'",
            order_by=["version_number ASC"],
        )
    )
