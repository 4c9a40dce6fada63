"""Image preparation that classifiers were trained with, by the names of torchvision and timm."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from components.contracts import Fit, Interpolation
from components.errors import ConfigError
from components.optimize.meaning import IMAGENET, INCEPTION, Fitting, Normalisation

# How timm prepares images for a family of models unless the weights say otherwise: the share of the
# shorter side that the crop keeps, the interpolation and the normalisation. From `_cfg` in
# timm/models/*.py and, for "default", `resolve_data_config` in timm/data/config.py
# (github.com/huggingface/pytorch-image-models).
TIMM: dict[str, tuple[float, Interpolation, Normalisation]] = {
    "default": (0.875, Interpolation.BICUBIC, IMAGENET),
    "resnet": (0.875, Interpolation.BILINEAR, IMAGENET),
    "convnext": (0.875, Interpolation.BICUBIC, IMAGENET),
    "efficientnet": (0.875, Interpolation.BICUBIC, IMAGENET),
    "deit": (0.9, Interpolation.BICUBIC, IMAGENET),
    "swin": (0.9, Interpolation.BICUBIC, IMAGENET),
    "vit": (0.9, Interpolation.BICUBIC, INCEPTION),
    "mixer": (0.875, Interpolation.BICUBIC, INCEPTION),
}


@dataclass(frozen=True)
class Preset:
    """Preprocessing that a preset's name stands for.

    Arguments:
        input_size: (height, width) in pixels; None where the rule holds for any size.
        fit: how an image is brought to it.
        normalisation: of its pixels.
    """

    input_size: tuple[int, int] | None
    fit: Fitting
    normalisation: Normalisation


def preset(name: str) -> Preset:
    """The preparation that a name stands for.

    Arguments:
        name: ``torchvision/ARCHITECTURE`` for that of its default weights,
            ``torchvision/ARCHITECTURE/WEIGHTS`` for others, read from torchvision, nothing is
            downloaded; or ``timm/FAMILY``, see `TIMM`.

    Raises:
        ConfigError: there is no such name.
    """
    library, _, rest = name.partition("/")
    if library == "torchvision" and rest:
        return _torchvision(*rest.partition("/")[::2])
    if library == "timm" and rest in TIMM:
        share, interpolation, normalisation = TIMM[rest]
        return Preset(None, Fitting(Fit.CENTER_CROP, None, interpolation, share), normalisation)
    raise ConfigError(
        "torchvision/ARCHITECTURE, torchvision/ARCHITECTURE/WEIGHTS or timm/FAMILY of "
        f"{', '.join(TIMM)}",
        found=repr(name),
        hint="say fit and normalisation instead; timm.data.resolve_model_data_config(model) tells "
        "those of a model",
    )


def _torchvision(architecture: str, weights: str) -> Preset:
    from torchvision import models
    from torchvision.transforms._presets import ImageClassification

    known = models.list_models(module=models)
    if architecture not in known:
        raise _unknown("an architecture of torchvision", architecture, known)
    all_weights = models.get_model_weights(architecture)
    if weights and weights not in all_weights.__members__:
        raise _unknown(f"weights of {architecture}", weights, list(all_weights.__members__))
    transforms: Any = (all_weights[weights] if weights else all_weights["DEFAULT"]).transforms()
    if not isinstance(transforms, ImageClassification):
        raise ConfigError("a classifier of torchvision", found=repr(architecture))
    crop, resize = transforms.crop_size[0], transforms.resize_size[0]
    return Preset(
        (crop, crop),
        Fitting(Fit.CENTER_CROP, resize, Interpolation(transforms.interpolation.value)),
        Normalisation(tuple(transforms.mean), tuple(transforms.std)),
    )


def _unknown(expected: str, found: str, known: list[str]) -> ConfigError:
    close = difflib.get_close_matches(found, known) or known[:5]
    return ConfigError(expected, found=repr(found), hint=f"did you mean {' or '.join(close)}?")
