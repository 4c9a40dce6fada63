"""A checkpoint that would run code when unpickled: on no path does it, unless the user says so."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from typer import Exit

from components.errors import FovealError
from flows.cli.main import app
from model_registry.store import open_store, sqlite_uri
from tests.conftest import complaints


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "executed"


@pytest.fixture
def poison(tmp_path, mark) -> Path:
    """The payload as torch writes a checkpoint: a zip with `data.pkl`."""
    path = tmp_path / "poison.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("poison/data.pkl", pickle.dumps({"model": Payload(mark)}, protocol=2))
        archive.writestr("poison/version", "3")
        archive.writestr("poison/byteorder", "little")
    return path


def bare(tmp_path, mark) -> Path:
    """The payload as a plain pickle."""
    path = tmp_path / "bare.pt"
    path.write_bytes(pickle.dumps({"foveal_classifier": 1, "model": Payload(mark)}, protocol=2))
    return path


def assert_refused(done, mark):
    assert done.returncode not in (0, 70), done.stderr
    assert len(complaints(done.stderr)) == 1, done.stderr
    assert not mark.exists()


def test_the_payload_works_when_it_is_unpickled(poison, mark):
    with zipfile.ZipFile(poison) as archive:
        pickle.loads(archive.read("poison/data.pkl"))  # noqa: S301 - made here
    assert mark.exists()


@pytest.mark.parametrize("kind", ["zip", "plain"])
def test_a_release_does_not_unpickle_what_nobody_trusts(released, poison, tmp_path, mark, kind):
    model = poison if kind == "zip" else bare(tmp_path, mark)
    config = tmp_path / "poison.yaml"
    config.write_text(
        f"name: poison\nmodel: {{path: {model}}}\ndata: {{labelled: {released.data}/data.yaml, "
        "calibration_split: calibration}\n"
    )
    assert_refused(released.foveal("release", config), mark)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "FILE", "IMAGES"),
        ("bundle", "verify", "FILE"),
        ("bundle", "run", "FILE", "IMAGES/x.jpg"),
        ("monitor", "FILE", "--images", "IMAGES"),
        ("nightly", "FILE", "--images", "IMAGES"),
        ("gates", "digits", "FILE", "--data", "IMAGES/../../data.yaml"),
        ("ab", "digits", "1", "FILE", "--images", "IMAGES"),
        ("retrain", "FILE"),
    ],
)
def test_no_other_command_unpickles_a_file_that_it_is_given(
    released, poison, mark, words, monkeypatch
):
    monkeypatch.setenv("FOVEAL_HOME", str(released.root))
    images = released.data / "images" / "golden"
    with pytest.raises(FovealError):
        app(
            [word.replace("FILE", str(poison)).replace("IMAGES", str(images)) for word in words],
            standalone_mode=False,
        )
    assert not mark.exists()


def test_a_bundle_whose_files_are_pickles_is_refused(released, poison, tmp_path, mark):
    bundle = tmp_path / "bundle"
    shutil.copytree(Path(released.said["folder"]) / "bundle", bundle)
    arrays = next(bundle.rglob("*.npz"))
    model = next(bundle.glob("*.onnx"))
    photo = next((released.data / "images" / "golden").iterdir())
    for file in (arrays, model):
        whole = file.read_bytes()
        file.write_bytes(poison.read_bytes())
        for words in (("bundle", "verify", bundle), ("bundle", "run", bundle, photo)):
            with pytest.raises((FovealError, Exit)):
                app([str(word) for word in words], standalone_mode=False)
            assert not mark.exists()
        file.write_bytes(whole)


def test_a_checkpoint_that_was_exchanged_in_the_registry_is_not_learnt_from(
    released, poison, tmp_path, mark
):
    """The release was trusted; the word was given for its own file only."""
    version = released.said["version"]
    client = open_store(sqlite_uri(released.root / "mlflow" / "mlflow.db")).client
    run = client.get_model_version("digits", str(version)).run_id
    stored = Path(unquote(urlsplit(client.get_run(run).info.artifact_uri).path))
    (checkpoint,) = (stored / "source").iterdir()
    whole = checkpoint.read_bytes()
    try:
        checkpoint.write_bytes(poison.read_bytes())
        done = released.foveal("retrain", "digits", "--trigger", "drift", "--event", "poisoned")
        assert_refused(done, mark)
        assert "the store's files were changed" in done.stderr
    finally:
        checkpoint.write_bytes(whole)
