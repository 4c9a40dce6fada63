"""A storage root is for its owner alone, whatever makes it first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import RegistryError
from flows.cli.main import _fault
from flows.runtime import trusted_checkpoints as trust
from flows.tasks.labelling import labelled_model


def crash() -> None:
    try:
        raise ZeroDivisionError("a fault")
    except ZeroDivisionError as error:
        assert _fault(error) == 70


def label() -> None:
    with pytest.raises(RegistryError, match="MLflow server"), labelled_model("digits"):
        pass


def trust_file() -> None:
    trust.remember(Path(__file__))


@pytest.mark.parametrize("first", [crash, label, trust_file])
def test_a_new_root_is_for_its_owner_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    first: Callable[[], None],
) -> None:
    root = tmp_path / "home"
    monkeypatch.setenv("FOVEAL_HOME", str(root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    first()
    assert root.stat().st_mode & 0o777 == 0o700
    if first is crash:
        assert "ZeroDivisionError" in (root / "crash.txt").read_text()
        assert f"details are in {root}" in " ".join(capsys.readouterr().err.split())
