"""Secrets of the environment: in no database, artifact, log or printed line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import COMMAND, clean_environment, complaints

SECRET = "hUsH-hUsH-4711"  # noqa: S105
PLACES = {
    "FOVEAL_ALERT_URLS": f"json://anna:{SECRET}@127.0.0.1:9/hook slack://{SECRET}/B/C",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "FSSPEC_S3": f'{{"key": "a", "secret": "{SECRET}"}}',
    "PREFECT_API_AUTH_STRING": f"anna:{SECRET}",
    "PREFECT_SERVER_API_AUTH_STRING": f"anna:{SECRET}",
    "MLFLOW_TRACKING_PASSWORD": SECRET,
    "MLFLOW_TRACKING_USERNAME": "anna",
}


def run(released, *words, **environment):
    return subprocess.run(
        [COMMAND, *map(str, words)],
        env=clean_environment(released.root) | environment,
        cwd=released.root.parent,
        capture_output=True,
        text=True,
        timeout=1500,
    )


def holders(root: Path) -> list[str]:
    """Files below a folder in whose bytes the secret stands."""
    needle = SECRET.encode()
    return [str(path) for path in root.rglob("*") if path.is_file() and needle in path.read_bytes()]


@pytest.fixture(scope="module")
def arriving(released, tmp_path_factory):
    place = tmp_path_factory.mktemp("arriving")
    for image in sorted((released.data / "images" / "night").iterdir())[:55]:
        shutil.copy(image, place / f"secret-{image.name}")
    return place


def test_a_night_with_alerts_leaves_no_secret_anywhere(released, arriving):
    done = run(
        released, "nightly", "digits", "--images", arriving, "--json",
        **{name: value for name, value in PLACES.items() if not name.startswith("PREFECT")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert holders(released.root) == []


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("monitor", "digits", "--images", f"https://anna:{SECRET}@127.0.0.1/shots"), {}),
        (("predict", "digits", f"s3://AKIA:x/{SECRET}@bucket/shots"), {}),
        (("nightly", "digits", "--images", f"s3://AKIA:{SECRET}@bucket/shots"), {}),
        (
            ("nightly", "digits", "--images", "IMAGES"),
            {"FOVEAL_STORE": f"sftp://anna:{SECRET}@127.0.0.1/store"},
        ),
        (("history", "digits"), {"MLFLOW_TRACKING_URI": f"http://anna:{SECRET}@127.0.0.1:9"}),
        (
            ("monitor", "digits", "--images", "IMAGES"),
            {"PREFECT_API_URL": f"http://anna:{SECRET}@127.0.0.1:9/api"},
        ),
        (("release", "CONFIG"), {}),
    ],
)
def test_a_command_that_fails_over_a_url_with_a_password_does_not_repeat_it(
    released, arriving, tmp_path, words, environment
):
    config = tmp_path / "secret.yaml"
    config.write_text(
        released.config.read_text().replace(
            f"{released.data}/images/day", f"https://anna:{SECRET}@127.0.0.1/shots"
        )
    )
    given = [word.replace("IMAGES", str(arriving)).replace("CONFIG", str(config)) for word in words]
    done = run(released, *given, **environment)
    assert done.returncode in (1, 2), done.stderr
    assert len(complaints(done.stderr)) == 1, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert holders(released.root) == []
