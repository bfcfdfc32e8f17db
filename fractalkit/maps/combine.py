"""The arithmetic of one collage step: fields spread over points, times sources repeated in every range, summed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fractalkit.maps.fields import Axis

FUSED_FROM = 1 << 15  # number of values from which the compiled loop is faster


def spread(field: Tensor, y: Axis, x: Axis) -> Tensor:
    """Range numbers ``[..., Gh, Gw]`` -> their values at the points, ``[..., Ey, Ex]``."""
    return y.on(field)[0] @ (field @ x.on(field)[0].mT)


def repeat(source: Tensor, y: Axis, x: Axis) -> Tensor:
    """A source on range coordinates ``[..., Uy, Ux]`` -> at the points, ``[..., Ey, Ex]``."""
    return source.index_select(-1, x.on(source)[1]).index_select(-2, y.on(source)[1])


def combine(
    brightness: Tensor, weights: Tensor, domains: Sequence[Tensor], patches: Tensor, y: Axis, x: Axis
) -> Tensor:
    """brightness(p) + sum_s weight_s(p) source_s(t(p)) at the points p of two axes: ``[B, C, Ey, Ex]``.

    The sources are the copied domains, then the patches. On a CPU a fused loop does the work (:mod:`.combine_cpu`);
    :func:`combine_plain` serves other devices and small pictures.

    Args:
        brightness: ``[B, C, Gh, Gw]`` range numbers.
        weights: ``[B, C, D + A, Gh, Gw]`` range numbers.
        domains: D times ``[B, C, Uy, Ux]``, on the distinct coordinates within ranges.
        patches: ``[A, C or 1, Uy, Ux]``, likewise.
    """
    points = y.points * x.points * brightness.shape[0] * brightness.shape[1]
    if brightness.device.type == "cpu" and points >= FUSED_FROM:
        from fractalkit.maps.combine_cpu import Fused

        u = patches.shape[2:]
        brightness, weights = (_three(t) for t in (brightness, weights))
        stack = torch.stack(tuple(domains)) if domains else brightness.new_zeros(0, *brightness.shape[:2], *u)
        return Fused.apply(brightness, weights, stack, patches, y, x)
    return combine_plain(brightness, weights, domains, patches, y, x)


def _three(numbers: Tensor) -> Tensor:
    """Pad to at least three ranges per side, the number that the compiled loop reads at a time."""
    gh, gw = numbers.shape[-2:]
    return numbers if min(gh, gw) >= 3 else F.pad(numbers, (0, max(0, 3 - gw), 0, max(0, 3 - gh)))


def combine_plain(
    brightness: Tensor, weights: Tensor, domains: Sequence[Tensor], patches: Tensor, y: Axis, x: Axis
) -> Tensor:
    """:func:`combine` in plain torch, on any device."""
    out = spread(brightness, y, x)
    for weight, source in zip(weights.unbind(2), [*domains, *patches.unsqueeze(1)], strict=True):
        out = torch.addcmul(out, spread(weight, y, x), repeat(source, y, x))
    return out
