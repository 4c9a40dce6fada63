from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from components.backends.yolo import forget_places, import_ultralytics, load_yolo
from components.errors import ModelError, UnavailableError, UntrustedModelError

pytestmark = pytest.mark.slow

MODEL = Path(__file__).parents[3] / "flows" / "assets" / "digits.pt"
SETTINGS = """
import os
from components.backends.yolo import import_ultralytics
import_ultralytics()
print(os.environ["YOLO_CONFIG_DIR"], oct(os.stat(os.environ["YOLO_CONFIG_DIR"]).st_mode))
"""


def test_a_checkpoint_is_not_unpickled_without_trust(tmp_path):
    class Boom:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"model": Boom()}, tmp_path / "evil.pt")
    with pytest.raises(UntrustedModelError, match="trust-pickle"):
        load_yolo(tmp_path / "evil.pt", trust=False)
    assert not (tmp_path / "executed").exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="an Ultralytics checkpoint"):
        load_yolo(tmp_path / "model.pt", trust=True)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="nothing at"):
        load_yolo(tmp_path / "model.pt", trust=True)


def test_importing_ultralytics_leaves_the_process_as_it_was():
    before = (
        os.environ.get("OMP_NUM_THREADS"),
        cv2.getNumThreads(),
        torch.save,
        np.get_printoptions(),
    )
    import_ultralytics()
    assert (
        os.environ.get("OMP_NUM_THREADS"),
        cv2.getNumThreads(),
        torch.save,
        np.get_printoptions(),
    ) == before


def test_ultralytics_downloads_nothing_not_even_a_font(monkeypatch):
    ultralytics = import_ultralytics()
    from ultralytics.data import utils
    from ultralytics.utils import downloads

    asked = []
    monkeypatch.setattr("socket.getaddrinfo", lambda host, *_, **__: asked.append(host) or [])
    assert utils.check_font("Arial.ttf") is None
    assert not downloads.is_url("https://192.0.2.1/font.ttf", check=True)
    with pytest.raises(ConnectionError, match="downloads nothing at run time"):
        utils.safe_download("https://192.0.2.1/weights.zip")
    with pytest.raises(ConnectionError):
        ultralytics.YOLO("yolo11n.pt")  # whose weights are not there
    assert asked == []


def test_a_neighbour_of_a_newer_name_is_not_opened_instead(tmp_path):
    shutil.copy(MODEL, tmp_path / "yolov5n.pt")
    (tmp_path / "yolov5nu.pt").write_bytes(b"another model")
    assert set(load_yolo(tmp_path / "yolov5n.pt", trust=True).names.values()) == set("0123456789")


def test_the_name_and_the_folder_of_a_checkpoint_do_not_matter(tmp_path):
    folder = tmp_path / "it's here"
    folder.mkdir()
    shutil.copy(MODEL, folder / "model.pt")
    forget_places(folder / "model.pt")
    (folder / "model.pt").rename(folder / "weights")
    assert len(load_yolo(folder / "weights", trust=True).names) == 10


def test_class_names_that_contradict_the_network_are_refused(tmp_path):
    import_ultralytics()
    contents = torch.load(MODEL, map_location="cpu", weights_only=False)
    (contents.get("ema") or contents["model"]).names = {0: "one"}
    torch.save(contents, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="1 class names for a network of 10 classes"):
        load_yolo(tmp_path / "model.pt", trust=True)


def test_a_temporary_folder_that_ultralytics_would_misread_is_refused(tmp_path, monkeypatch):
    place = tmp_path / "it's"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with pytest.raises(UnavailableError, match="set TMPDIR"):
        load_yolo(MODEL, trust=True)


def test_the_settings_folder_is_private_and_gone_afterwards(tmp_path):
    (tmp_path / "foveal-ultralytics").symlink_to(tmp_path / "of somebody else")
    environment = {key: value for key, value in os.environ.items() if key != "YOLO_CONFIG_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    folder, mode = done.stdout.split()
    assert Path(folder).parent == tmp_path
    assert stat.S_IMODE(int(mode, 8)) == 0o700
    assert [path.name for path in tmp_path.iterdir()] == ["foveal-ultralytics"]
    assert not (tmp_path / "of somebody else").exists()
