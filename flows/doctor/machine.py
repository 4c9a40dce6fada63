"""Checks of this machine: GPU, backends, ports, telemetry off, and somebody told of alerts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import fields

from components import telemetry
from components.errors import UnavailableError
from flows.doctor.finding import Finding, State
from flows.runtime.ports import holder
from flows.runtime.root_lock import running_up
from flows.runtime.settings import Settings
from flows.services.services import Places

_WITH_GPU_ONLY = ("tensorrt",)


def examine_gpu() -> list[Finding]:
    """Check the driver, and that onnxruntime can use what it drives; no GPU is fine, too."""
    from components.backends.onnxruntime import import_onnxruntime

    program = shutil.which("nvidia-smi")
    if program is None:
        return [Finding("gpu", State.OK, "no NVIDIA driver; models run on the processor")]
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return [
            Finding(
                "gpu",
                State.WARN,
                f"nvidia-smi does not answer: {error}",
                "install the driver again",
            )
        ]
    said = " | ".join((asked.stdout + asked.stderr).split("\n")).strip(" |")
    if asked.returncode:
        return [
            Finding(
                "gpu",
                State.WARN,
                f"nvidia-smi: {said[:200]}",
                "install the driver again, then restart",
            )
        ]
    try:
        providers = import_onnxruntime().get_available_providers()
    except UnavailableError as error:
        return [Finding("gpu", State.FAIL, error.found, error.hint)]
    if "CUDAExecutionProvider" not in providers:
        hint = "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
        return [
            Finding(
                "gpu", State.WARN, f"{said}, but onnxruntime has only {', '.join(providers)}", hint
            )
        ]
    return [Finding("gpu", State.OK, f"{said}; onnxruntime has {', '.join(providers)}")]


def examine_backends() -> list[Finding]:
    """Check for each backend whether it can run here."""
    from components.backends import BACKENDS, get_backend

    findings = []
    for name in BACKENDS:
        reason = get_backend(name).unavailable_reason()
        if reason is None:
            findings.append(Finding(name, State.OK, "can run models here"))
        elif name in _WITH_GPU_ONLY:
            findings.append(
                Finding(name, State.OK, f"not here, which is fine without a GPU: {reason}")
            )
        else:
            findings.append(
                Finding(name, State.FAIL, reason, "pip install -c constraints.txt -e .")
            )
    return findings


def examine_yolo() -> list[Finding]:
    """Check for the extra needed to release or retrain Ultralytics checkpoints; many need none."""
    from components.backends.yolo import has_ultralytics

    if has_ultralytics():
        return [Finding("yolo", State.OK, "Ultralytics is installed, for its .pt files (AGPL-3.0)")]
    found = (
        "not installed, which is fine unless .pt files of Ultralytics are released or "
        "retrained, as the demo's is"
    )
    return [Finding("yolo", State.OK, f"{found}: pip install 'foveal[yolo]' (AGPL-3.0)")]


def examine_ports(settings: Settings, places: Places) -> list[Finding]:
    """Check whether `foveal up` could listen, or does."""
    if claim := running_up(settings.root):
        served = ", ".join(
            f"{name} {address}" for name, address in claim.addresses.items() if address
        )
        return [Finding("ports", State.OK, f"foveal up runs on this root: {served}")]
    ports = {
        field.name: getattr(places, field.name) for field in fields(places) if field.name != "host"
    }
    taken = {name: by for name, port in ports.items() if (by := holder(places.host, port))}
    findings = [
        Finding(
            f"port {ports[name]}",
            State.WARN,
            by,
            f"end it, or foveal up --{name}-port with another",
        )
        for name, by in taken.items()
    ]
    free = ", ".join(str(port) for name, port in ports.items() if name not in taken)
    return findings or [Finding("ports", State.OK, f"{free} are free for foveal up")]


def examine_telemetry(environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Check that every switch against telemetry is set."""
    on = [
        f"{name}={value}"
        for name, value in telemetry.SWITCHES.items()
        if environment.get(name) != value
    ]
    if on:
        return [
            Finding(
                "telemetry",
                State.WARN,
                f"{len(on)} switches are not thrown",
                f"export {' '.join(on)}",
            )
        ]
    return [Finding("telemetry", State.OK, f"off, by {len(telemetry.SWITCHES)} switches")]


def examine_alerts(settings: Settings) -> list[Finding]:
    """Check that somebody would be told of alerts; sends nothing and shows no channel's URL."""
    from components.monitoring.alerts.notify import unknown_channels

    channels = settings.alert_channels
    if not channels:
        hint = "put Apprise URLs, separated by spaces, into FOVEAL_ALERT_URLS"
        return [
            Finding("alerts", State.WARN, "no channel: alerts are events and log lines only", hint)
        ]
    if unknown := unknown_channels(channels):
        found = (
            f"{', '.join(unknown)} of {len(channels)}: not a URL of a service that Apprise knows"
        )
        hint = "correct it in FOVEAL_ALERT_URLS; https://appriseit.com lists the services"
        return [Finding("alerts", State.FAIL, found, hint)]
    return [
        Finding("alerts", State.OK, f"{len(channels)} channel{'s' if len(channels) > 1 else ''}")
    ]
