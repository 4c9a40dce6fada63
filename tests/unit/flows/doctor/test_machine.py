"""GPU, ports, telemetry and alert channels; a slow or broken check is a finding as well."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from components import telemetry
from flows.doctor import machine
from flows.doctor.examine import bounded
from flows.doctor.finding import Finding, State
from flows.runtime.processes import free_port
from flows.runtime.settings import Settings
from flows.services.services import Places


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Put an `nvidia-smi` first on the path: ``driver("echo …")``."""

    def install(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return install


def test_a_machine_without_a_gpu_is_fine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = machine.examine_gpu()
    assert found.state is State.OK and "no NVIDIA driver" in found.found


def test_a_gpu_is_named_with_its_driver(driver):
    driver("echo NVIDIA L4, 580.65.06")
    (found,) = machine.examine_gpu()
    assert "NVIDIA L4, 580.65.06" in found.found


def test_a_driver_that_fails_is_told_in_its_own_words(driver):
    driver("echo Failed to initialize NVML: Driver/library version mismatch; exit 18")
    (found,) = machine.examine_gpu()
    assert (
        found.state is State.WARN and "version mismatch" in found.found and "driver" in found.hint
    )


def test_backends_are_listed_and_only_the_gpus_may_be_missing():
    states = {found.name: found.state for found in machine.examine_backends()}
    assert states == dict.fromkeys(("onnxruntime", "openvino", "tensorrt", "torch"), State.OK)


def test_a_taken_port_is_named_with_its_holder_and_the_option_that_avoids_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path))
    free = Places("127.0.0.1", free_port(), free_port(), free_port(), free_port())
    (found,) = machine.examine_ports(Settings.from_environment(), free)
    assert found.state is State.OK
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free.mlflow))
        taken.listen()
        (found,) = machine.examine_ports(Settings.from_environment(), free)
    assert (found.name, found.state) == (f"port {free.mlflow}", State.WARN)
    assert f"process {os.getpid()}" in found.found and "--mlflow-port" in found.hint


def test_each_switch_against_telemetry_counts():
    assert machine.examine_telemetry(telemetry.SWITCHES)[0].state is State.OK
    (found,) = machine.examine_telemetry(telemetry.SWITCHES | {"DO_NOT_TRACK": "1"})
    assert found.state is State.WARN and found.hint == "export DO_NOT_TRACK=true"


@pytest.mark.parametrize(
    ("urls", "state"),
    [
        ("", State.WARN),
        ("json://user:hush@localhost/x", State.OK),
        ("json://localhost nonsense://hush", State.FAIL),
    ],
)
def test_alert_channels_are_checked_without_a_word_of_their_secrets(monkeypatch, urls, state):
    monkeypatch.setenv("FOVEAL_ALERT_URLS", urls)
    (found,) = machine.examine_alerts(Settings.from_environment())
    assert found.state is state
    assert "hush" not in found.found + found.hint


def test_a_check_that_never_comes_back_and_one_that_breaks_are_findings_beside_the_others():
    good = Finding("good", State.OK, "fine")
    checks = {
        "never": lambda: threading.Event().wait(60) and [],
        "broken": lambda: [1 / 0],
        "good": lambda: [good],
    }
    never, broken, fine = bounded(checks, 0.5)
    assert (never.name, never.state, "no answer" in never.found) == ("never", State.FAIL, True)
    assert (broken.name, broken.state, "ZeroDivisionError" in broken.found) == (
        "broken",
        State.FAIL,
        True,
    )
    assert fine == good


def test_credentials_in_urls_never_reach_the_report():
    told = Finding(
        "store", State.FAIL, "s3://key:hush@bucket/x: refused", "see https://ann:hush@host/"
    )
    (shown,) = bounded({"store": lambda: [told]}, 10)
    assert (shown.found, shown.hint) == ("s3://bucket/x: refused", "see https://host/")
