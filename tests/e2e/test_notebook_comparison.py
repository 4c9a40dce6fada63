"""The notebook that compares two versions runs from top to bottom, as for a user."""

from __future__ import annotations

import pytest

from components.contracts import Gate, GateReport, Verdict
from model_registry import CHAMPION, Rationale, Registry, sqlite_uri
from tests.notebooks import run

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_two_versions_are_compared_on_the_same_images(released_classifier, monkeypatch):
    """Two versions of one name, from another's finished steps: only their golden sets differ."""
    home = released_classifier.config.parent
    for golden_images in (4, 5):
        config = home / f"compared-{golden_images}.yaml"
        text = released_classifier.config.read_text().replace("name: crops", "name: compared")
        config.write_text(text.replace("images: crops/day", f"golden_images: {golden_images}"))
        done = released_classifier.foveal("release", config, "--json")
        assert done.returncode == 0, done.stderr
    registry = Registry(sqlite_uri(released_classifier.root / "mlflow" / "mlflow.db"))
    champion = registry.get(
        "compared", CHAMPION
    ).version  # whether the second one was promoted, its times decide
    other = 3 - champion
    golden = Gate(
        "golden",
        0.8,
        0.8,
        (0.0, -0.01, 0.01),
        -0.02,
        0.01,
        50,
        Verdict.PASS,
        "not worse by the margin",
    )
    gates = GateReport(f"compared/{champion}", f"compared/{other}", (golden,))
    registry.promote("compared", other, Rationale(trigger="drift", gates=gates))
    said = run(
        "compare_two_versions",
        released_classifier.root,
        monkeypatch,
        model="compared",
        labels=released_classifier.data,
        split="val",
    )
    assert "top-1: " in said and "B − A = +0.0000" in said
    assert "compare-model-versions?name=%22compared%22" in said
    assert "bundle" in said, "the hashes that differ"
    assert "not worse by the margin" in said, "the gates of the last decision"
