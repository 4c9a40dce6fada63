"""Only what was released comes into production, whatever happened to store and tags."""

from __future__ import annotations

import pytest

from components.errors import BundleError, RegistryError
from components.files import sha256_file
from model_registry import Registry, sqlite_uri
from model_registry.store import open_store

pytestmark = pytest.mark.slow


def test_a_damaged_store_is_noticed(registry, make_release, store_root, tmp_path):
    version = registry.log_release(make_release("damaged"))
    archive = next((store_root / "artifacts" / "damaged" / version.run_id).rglob("*.zip"))
    archive.write_bytes(archive.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match="sha256"):
        registry.download_bundle(version, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def tampered(path):
    with path.open("ab") as file:
        file.write(b"#")
    return path


def test_only_the_bundle_and_the_code_that_were_released_come_into_production(
    tmp_path, make_release
):
    registry = Registry(sqlite_uri(tmp_path / "mlflow.db"))
    for noise_floor in (0.1, 0.2, 0.3):
        registry.log_release(make_release("guarded", noise_floor=noise_floor))
    for version in (1, 2):
        registry.promote("guarded", version)
    one = registry.get("guarded", 1)
    archive = next((tmp_path / "artifacts" / "guarded" / one.run_id).rglob("*.zip"))
    content = archive.read_bytes()
    tampered(archive)
    with pytest.raises(BundleError, match="the bundle that was registered"):
        registry.rollback("guarded")
    assert registry.get("guarded", "champion").version == 2
    archive.write_bytes(content)
    assert registry.rollback("guarded").version == 1
    models = tmp_path / "artifacts" / "guarded" / "models"
    client = open_store(registry.tracking_uri).client
    own = client.get_run(registry.get("guarded", 3).run_id).outputs.model_outputs[0].model_id
    tampered(next((models / own).rglob("pyfunc_model.py")))
    with pytest.raises(RegistryError, match="the MLflow model that was registered with guarded/3"):
        registry.promote("guarded", 3)
    assert [version.aliases for version in registry.versions("guarded")] == [
        ("champion",),
        (),
        ("challenger",),
    ]


def test_a_checkpoint_is_the_one_that_the_first_decision_recorded_whatever_tags_say(
    tmp_path, make_release
):
    source = tmp_path / "model.pt"
    source.write_bytes(b"weights")
    registry = Registry(sqlite_uri(tmp_path / "mlflow.db"))
    version = registry.log_release(make_release("bound", source=source))
    registry.promote("bound", 1)
    client = open_store(registry.tracking_uri).client
    stored = tampered(
        next((tmp_path / "artifacts" / "bound" / version.run_id / "artifacts" / "source").iterdir())
    )
    client.set_model_version_tag("bound", "1", "source_sha256", sha256_file(stored))
    with pytest.raises(RegistryError, match=r"the model\.pt that was registered with bound/1"):
        registry.download_source(version, tmp_path / "output")
    assert registry.hashes(version)["source"] == sha256_file(source)
