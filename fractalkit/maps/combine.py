"""The arithmetic of one collage step: fields spread over points, times sources repeated in every range, summed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fractalkit.maps.fields import Axis


def spread(field: Tensor, y: Axis, x: Axis) -> Tensor:
    """Range numbers ``[..., Gh, Gw]`` -> their values at the points, ``[..., Ey, Ex]``."""
    return y.on(field)[0] @ (field @ x.on(field)[0].mT)


def repeat(source: Tensor, y: Axis, x: Axis) -> Tensor:
    """A source on range coordinates ``[..., Uy, Ux]`` -> at the points, ``[..., Ey, Ex]``."""
    return source.index_select(-1, x.on(source)[1]).index_select(-2, y.on(source)[1])


def combine(brightness: Tensor, weights: Sequence[Tensor], sources: Sequence[Tensor], y: Axis, x: Axis) -> Tensor:
    """brightness(p) + sum_s weight_s(p) source_s(t(p)) at the points p of two axes: ``[B, C, Ey, Ex]``.

    Args:
        brightness: ``[B, C, Gh, Gw]`` range numbers.
        weights: S times ``[B, C or 1, Gh, Gw]``.
        sources: S times ``[B or 1, C or 1, Uy, Ux]``, on the distinct coordinates within ranges.
    """
    out = spread(brightness, y, x)
    for weight, source in zip(weights, sources, strict=True):
        out = torch.addcmul(out, spread(weight, y, x), repeat(source, y, x))
    return out
