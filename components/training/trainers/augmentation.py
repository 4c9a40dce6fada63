"""Light changes that leave the meaning of a picture alone: no mirroring, no cutting out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_TURN = 0.17  # radians, 10°
_SHEAR = 0.1
_ZOOM = 0.12
_SHIFT = 0.08  # of the side
_CONTRAST = 0.25
_BRIGHTNESS = 0.12


def augment(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn, shear, zoom, shift and relight each image at random.

    Arguments:
        batch: (n, 3, height, width) float tensor of values in 0–1.
        generator: the torch.Generator on the CPU that all randomness comes from.

    Returns:
        A tensor of the same shape, values in 0–1; what comes in from outside the image is its
        reflection.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    def spread(width: float) -> torch.Tensor:
        return ((torch.rand(len(batch), generator=generator) * 2 - 1) * width).to(batch.device)

    angle, shear, zoom = spread(_TURN), spread(_SHEAR), 1 + spread(_ZOOM)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    rows = (
        torch.stack([cosine, shear - sine, spread(2 * _SHIFT)], 1),
        torch.stack([sine, cosine, spread(2 * _SHIFT)], 1),
    )
    grid = affine_grid(torch.stack(rows, 1), list(batch.shape), align_corners=False)
    moved = grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    contrast, brightness = 1 + spread(_CONTRAST), spread(_BRIGHTNESS)
    return ((moved - 0.5) * contrast.view(-1, 1, 1, 1) + 0.5 + brightness.view(-1, 1, 1, 1)).clamp(
        0, 1
    )
