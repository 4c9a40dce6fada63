"""A storage root that was copied to another place: one line says so, and one command mends it."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.conftest import complaints, foveal


@pytest.fixture(scope="module")
def copied(released, tmp_path_factory):
    """The root of the shared release in another place, with a percent sign in its path."""
    place = tmp_path_factory.mktemp("moved") / "100%41 home"
    skipped = shutil.ignore_patterns("prefect", "*.lock", "*.sock")
    return shutil.copytree(released.root, place, ignore=skipped)


def test_a_copied_root_is_mended_by_one_command_and_predicts_compares_and_remembers(
    released, copied, tmp_path
):
    def run(*words):
        return foveal(*words, root=copied, cwd=tmp_path)

    image = next((released.data / "images" / "day").iterdir())
    refused = run("predict", "digits", str(image), "--output", tmp_path / "out")
    assert refused.returncode != 0 and "foveal doctor --relocate" in refused.stderr
    assert len(complaints(refused.stderr)) == 1, refused.stderr
    mended = json.loads(run("doctor", "--relocate", "--json").stdout)
    places = [found["found"] for found in mended["findings"] if found["name"] == "place"]
    assert places[0].startswith("relocated: ") and "where its database says" in places[1]
    predicted = run("predict", "digits", str(image), "--output", tmp_path / "out", "--json")
    assert predicted.returncode == 0, predicted.stderr
    assert json.loads(predicted.stdout)["processed"] == 1
    compared = run("compare", "digits", "1", "champion", "--json")
    assert compared.returncode == 0, compared.stderr
    history = run("history", "digits", "--json")
    assert json.loads(history.stdout)[0]["decision"]["outcome"] == "promoted"
