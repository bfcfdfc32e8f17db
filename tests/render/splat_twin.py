"""Slow torch reference of the splatting kernels; tests compare the compiled ones with it."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def splat(xy: Tensor, depth: Tensor, radius: Tensor, colour: Tensor, size: tuple[int, int], slab: float) -> tuple[Tensor, Tensor]:  # fmt: skip  # noqa: E501
    """Depth ``[H, W]`` (infinity where nothing is) and colour ``[H, W, 3]``: see :func:`fractalkit.render.splat.splat`.

    Args:
        xy: ``[N, 2]`` float64. depth, radius: ``[N]``. colour: ``[N, 3]``.
    """
    w, h = size
    pixel, d2, who = _covered(xy, radius, depth > 0, size)  # [M] each
    z = depth[who].float()
    front = torch.full((h * w,), math.inf).scatter_reduce(0, pixel, z, "amin")
    seen = z <= front[pixel] + torch.tensor(slab, dtype=torch.float32)
    pixel, d2, who, z = pixel[seen], d2[seen], who[seen], z[seen].double()
    v = ((1 - d2 / radius[who] ** 2).clamp_min(0) ** 2 + 1e-3).double()
    total = torch.zeros(h * w, dtype=torch.float64).index_add_(0, pixel, v)
    mean = torch.zeros(h * w, dtype=torch.float64).index_add_(0, pixel, v * z)
    rgb = torch.zeros(h * w, 3, dtype=torch.float64).index_add_(0, pixel, v[:, None] * colour[who].double())
    out = torch.where(total > 0, mean / total, math.inf)
    return out.float().view(h, w), (rgb / total.clamp_min(1e-30)[:, None]).float().view(h, w, 3)


def _covered(xy: Tensor, radius: Tensor, use: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Every (pixel, disc) that meet: flat pixel index, squared distance of the centres, and the disc's index."""
    w, h = size
    reach = int(radius.max().ceil()) + 1 if len(radius) else 0
    cell = xy.floor().long()
    pixels, gaps, discs = [], [], []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            at = cell + torch.tensor([dx, dy])
            d2 = ((at + 0.5 - xy) ** 2).sum(1)
            inside = (at >= 0).all(1) & (at[:, 0] < w) & (at[:, 1] < h)
            own = dx == 0 and dy == 0  # the pixel that a disc lies in is its own, however small the disc
            hit = use & inside & ((d2 < radius**2) | own)
            pixels.append((at[:, 1] * w + at[:, 0])[hit])
            gaps.append(d2[hit])
            discs.append(hit.nonzero()[:, 0])
    return torch.cat(pixels), torch.cat(gaps), torch.cat(discs)
