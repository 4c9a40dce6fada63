"""What others wrote is shown as text, whatever it would do to a terminal."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
from rich.table import Table
from rich.text import Text

from components.errors import DatasetError, ImageError
from flows.cli.screens.console import make_console
from flows.runtime.outages import full_disk
from flows.runtime.settings import Settings
from tests.conftest import clean_environment

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\u202eb\udcff"
SHOWN = r"a\x1b]0;owned\x07\x1b[2J\u202eb\xff"


def test_an_error_and_a_console_show_controls_and_do_not_obey_them(capsys):
    assert SHOWN in str(ImageError("an image", found=HOSTILE))
    assert "\n" not in str(DatasetError("an image", found="one\ntwo"))
    console = make_console()
    table = Table("name")
    table.add_row(HOSTILE)
    for shown in (Text(HOSTILE), table, HOSTILE.replace("[", r"\[")):
        console.print(shown, soft_wrap=True)
    told = capsys.readouterr().out
    assert "\x1b" not in told and "\u202e" not in told
    assert r"\x1b" in told and r"\u202e" in told


def test_the_disk_of_the_file_that_could_not_be_written_is_named(tmp_path):
    settings = Settings(tmp_path / "home", "sqlite://", embedded_tracking=True)
    cause = OSError(errno.ENOSPC, "No space left on device", "/dev/shm/out/images.parquet")  # noqa: S108 - named only
    told = full_disk(cause, settings)
    assert told is not None and "/dev/shm" in str(told)  # noqa: S108 - named only


@pytest.mark.parametrize(
    ("output", "words"),
    [("/", "the root of all"), ("/sys/out", "/sys"), (f"/tmp/{'x' * 300}", "too long")],  # noqa: S108 - refused
)
def test_an_output_that_cannot_be_is_one_line(tmp_path, output, words):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from components.inference.lock import exclusive\n"
        "from flows.cli.main import app, main\n"
        "@app.command('try')\n"
        "def attempt() -> None:\n"
        f"    with exclusive(Path({output!r})):\n"
        "        pass\n"
        "sys.argv = ['foveal', 'try']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and words in done.stderr
