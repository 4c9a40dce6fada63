"""The device that training takes place on."""

from __future__ import annotations

from components import telemetry

AUTO = "auto"


def training_device(name: str) -> str:
    """Resolve a device's name: `auto` is the first GPU that torch can use here, else the processor.

    Arguments:
        name: `auto`, or a device as torch calls it, which is left as it is.
    """
    if name != AUTO:
        return name
    telemetry.switch_off()
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"
