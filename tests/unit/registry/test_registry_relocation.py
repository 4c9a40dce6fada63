"""A storage root that was moved or copied, or whose path is unusual: its versions stay usable."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from components.errors import RegistryError
from components.package import verify_bundle
from flows.doctor import storage
from flows.doctor.finding import State
from flows.runtime.settings import Settings
from model_registry import Registry, former_roots, relocate, sqlite_uri

pytestmark = pytest.mark.slow


def registry_of(root):
    return Registry(sqlite_uri(root / "mlflow" / "mlflow.db"), root / "mlflow" / "artifacts")


def use(registry, output):
    """What commands do with a version: fetch it, compare it, look back, decide."""
    version = registry.get("parts", "champion")
    assert verify_bundle(registry.download_bundle(version, output / "bundle")).ok
    assert registry.download_reference(version, output).is_file()
    assert registry.parameters(version)["seed"] == 7
    assert registry.compare("parts", 1, 1).metrics
    return [decided.decision.version for decided in registry.decisions("parts")]


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_release):
    """A root with one release and one decision; copy it, never change it."""
    root = tmp_path_factory.mktemp("made") / "home"
    registry = registry_of(root)
    registry.log_release(make_release("parts"))
    registry.promote("parts", 1)
    return root


@pytest.mark.parametrize("kept", [True, False], ids=["copied", "moved"])
def test_a_root_that_was_moved_or_copied_says_so_in_one_line_and_is_mended(
    made, make_release, tmp_path, monkeypatch, kept
):
    first, root = tmp_path / "first", tmp_path / "now at 100%25 é"
    shutil.copytree(made, first)
    relocate(first / "mlflow" / "mlflow.db", (first / "mlflow" / "artifacts").as_uri())
    shutil.copytree(first, root)
    if not kept:
        shutil.rmtree(first)
    with pytest.raises(
        RegistryError, match=rf"{first}/mlflow/artifacts, found .*foveal doctor --relocate"
    ) as refused:
        registry_of(root)
    assert "\n" not in str(refused.value)
    monkeypatch.setenv("FOVEAL_HOME", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = Settings.from_environment()
    place = {found.name: found for found in storage.examine(settings)}["place"]
    assert (place.state, place.hint) == (State.FAIL, "foveal doctor --relocate") and str(
        first
    ) in place.found
    assert storage.mend_place(settings).found.startswith("relocated: ")
    assert "nothing to relocate" in storage.mend_place(settings).found
    assert {found.name: found for found in storage.examine(settings)}["place"].state is State.OK
    registry = registry_of(root)
    assert use(registry, tmp_path) == [1]
    assert registry.log_release(make_release("parts", noise_floor=0.5)).version == 2
    assert first.exists() is kept
    if kept:
        assert len(registry_of(first).versions("parts")) == 1, "nothing was written to the original"


def test_artifacts_that_are_kept_elsewhere_on_purpose_are_where_the_database_says(made, tmp_path):
    assert former_roots(made / "mlflow" / "mlflow.db", (tmp_path / "other").as_uri()) == ()
    assert former_roots(made / "mlflow" / "mlflow.db", "s3://bucket/artifacts") == ()
    assert former_roots(tmp_path / "none.db", (tmp_path / "other").as_uri()) == ()


@pytest.mark.parametrize("name", ["100%", "a%20b", "a b#c", "it's é"])
def test_a_root_with_an_unusual_path_works(tmp_path, make_release, bundle, name):
    root = tmp_path / name
    registry = registry_of(root)
    folder = shutil.copytree(bundle.folder, root / "steps" / "bundle")
    archive = shutil.copyfile(bundle.archive, root / "steps" / "bundle.zip")
    registry.log_release(
        make_release("parts", bundle=replace(bundle, folder=folder, archive=archive))
    )
    registry.promote("parts", 1)
    assert use(registry, tmp_path) == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [name, "bundle", "reference.parquet"]
    )
