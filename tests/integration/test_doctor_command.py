"""`foveal doctor` as a user runs it, on a machine with several faults at once."""

from __future__ import annotations

import json
import os
import subprocess

from flows.runtime.processes import free_port
from tests.conftest import COMMAND, clean_environment


def doctor(root, *arguments, **environment):
    return subprocess.run(
        [COMMAND, "doctor", *arguments],
        env=clean_environment(root) | environment,
        cwd=root.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_faults_fail_the_command_and_each_says_how_to_mend_it(tmp_path):
    root, double = tmp_path / "home", tmp_path / "site" / "onnxruntime-1.32.0.dist-info"
    double.mkdir(parents=True)
    (double / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime\nVersion: 1.32.0\n")
    (root / "mlflow").mkdir(parents=True)
    (root / "mlflow" / "mlflow.db").write_text("not a database" * 100)
    done = doctor(
        root,
        "--json",
        PYTHONPATH=os.pathsep.join(
            [str(double.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
        PREFECT_API_URL=f"http://ann:hush@127.0.0.1:{free_port()}/api",
        FOVEAL_STORE=str(root / "mlflow" / "mlflow.db"),
    )
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is False
    failing = {found["name"]: found for found in said["findings"] if found["state"] == "fail"}
    assert set(failing) == {
        "onnxruntime and onnxruntime-gpu",
        "mlflow.db",
        "mlflow",
        "prefect",
        "store",
    }
    assert all(found["hint"] for found in said["findings"] if found["state"] != "ok")
    assert "hush" not in done.stdout + done.stderr


def test_a_machine_that_is_well_is_told_so_line_by_line(tmp_path):
    done = doctor(tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} <= {"ok", "warn", "hint:"}
    assert "ok   onnxruntime: can run models here" in done.stdout
    assert not (tmp_path / "home").exists()
