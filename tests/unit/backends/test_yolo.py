from __future__ import annotations

import os

import cv2
import numpy as np
import pytest
import torch

from components.backends.yolo import import_ultralytics, load_yolo
from components.errors import ModelError, UntrustedModelError


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
    before = (os.environ.get("OMP_NUM_THREADS"), cv2.getNumThreads(), torch.save, np.get_printoptions())
    import_ultralytics()
    assert (os.environ.get("OMP_NUM_THREADS"), cv2.getNumThreads(), torch.save, np.get_printoptions()) == before
