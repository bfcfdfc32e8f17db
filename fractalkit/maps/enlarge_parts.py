"""What an enlargement is made of, in plain torch: domains, details, classes of neighbourhoods, and linear predictions.

Luma of a picture at the present scale is ``y`` ``[H, W]``. A *domain* at (i, j) is a neighbourhood of the picture twice
as coarse: of ``pooled`` ``[H - 1, W - 1]``, the means of 2 x 2 pixels at every place, every second value around (i, j).
Its *detail* is what the picture has there and the coarser one lacks: the four pixels less the refined coarse picture.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from fractalkit.codes.enlargement import ANGLES, COHERENCES, SIDE
from fractalkit.raster.average_spline import refine
from fractalkit.raster.colour import LUMA

RADIUS = SIDE // 2
STRENGTH = (2.0, 6.0, 16.0)  # root mean square gradients, in levels a pixel, that part the classes
COHERENCE = (0.4, 0.75)
CELL = 8  # pixels a side of the cells from which local filters are fitted
REACH = 2  # cells on either side
RIDGE = 20.0  # levels squared


def luma(x: Tensor) -> Tensor:
    """``[H, W]`` of ``[1, H, W]`` or ``[3, H, W]`` RGB."""
    if x.shape[0] == 1:
        return x[0]
    return LUMA[0] * x[0] + LUMA[1] * x[1] + LUMA[2] * x[2]


def pooled(x: Tensor) -> Tensor:
    """Means of 2 x 2 pixels at every place: ``[..., H - 1, W - 1]``."""
    return (x[..., :-1, :-1] + x[..., 1:, :-1] + x[..., :-1, 1:] + x[..., 1:, 1:]) / 4


def details(x: Tensor) -> Tensor:
    """The detail of each domain: ``[C, H - 1, W - 1, 4]`` of ``[C, H, W]``. The four sum to zero."""
    p = pooled(x)
    out = x.new_zeros(*p.shape, 4)
    for i in (0, 1):
        for j in (0, 1):
            coarse = p[:, i::2, j::2]
            c, h, w = coarse.shape
            if h and w:
                fine = x[:, i : i + 2 * h, j : j + 2 * w] - refine(coarse)
                out[:, i::2, j::2] = fine.view(c, h, 2, w, 2).permute(0, 1, 3, 2, 4).reshape(c, h, w, 4)
    return out


def neighbourhoods(y: Tensor, step: int) -> Tensor:
    """The ``SIDE`` x ``SIDE`` values around each, ``step`` apart, less their mean: ``[H, W, SIDE^2]``.

    Beyond the borders the outermost values are repeated.
    """
    h, w = y.shape
    r = RADIUS * step
    wide = functional.pad(y[None, None], (r, r, r, r), mode="replicate")[0, 0]
    all = [wide[i : i + h, j : j + w] for i in range(0, 2 * r + 1, step) for j in range(0, 2 * r + 1, step)]
    out = torch.stack(all, -1)
    return out - out.mean(-1, keepdim=True)


def classes(y: Tensor, step: int) -> Tensor:
    """The class of each neighbourhood by direction, coherence and strength of its gradients, ``[H, W]`` int64.

    The structure tensor is smoothed by a Gaussian of one pixel (of ``step`` here), as in RAISR (Romano, Isidoro and
    Milanfar, IEEE Trans. Comput. Imaging 3, 2017).
    """
    h, w = y.shape
    wide = functional.pad(y[None, None], (step,) * 4, mode="replicate")[0, 0]
    gx = (wide[step : step + h, 2 * step :] - wide[step : step + h, :w]) / 2
    gy = (wide[2 * step :, step : step + w] - wide[:h, step : step + w]) / 2
    a, b, c = _smoothed(torch.stack([gx * gx, gx * gy, gy * gy]), step)
    angle = torch.atan2(2 * b, a - c) / (2 * math.pi) + 0.5  # of the gradient, in half turns
    direction = (angle * ANGLES).floor().long() % ANGLES
    mean = (a + c) / 2
    coherence = torch.sqrt((a - c).square() / 4 + b * b) / (mean + 1e-3)
    strength = torch.bucketize(mean.sqrt(), torch.tensor(STRENGTH, dtype=y.dtype), right=True)
    coherent = torch.bucketize(coherence, torch.tensor(COHERENCE, dtype=y.dtype), right=True)
    return (strength * COHERENCES + coherent) * ANGLES + direction


def _smoothed(x: Tensor, step: int) -> Tensor:
    r = 3
    weight = torch.exp(-torch.arange(-r, r + 1, dtype=torch.float64).square() / 2)
    for dim in (-1, -2):
        n = x.shape[dim]
        pad = (r * step, r * step, 0, 0) if dim == -1 else (0, 0, r * step, r * step)
        wide = functional.pad(x[None], pad, mode="replicate")[0]
        x = sum(
            (float(k) * wide.narrow(dim, t * step, n) for t, k in enumerate(weight / weight.sum())), torch.zeros_like(x)
        )
    return x


def local_filters(y: Tensor, detail: Tensor, prior: Tensor) -> Tensor:
    """Filters fitted around each node by regularised least squares, less ``prior``: ``[ny, nx, SIDE^2, 4]``.

    Nodes are the centres of cells of ``CELL`` pixels. Around a node, over the domains of the cells within ``REACH``,
    the filter M minimises the mean of |M f - d|^2 + ``RIDGE`` |M - prior|^2, with f a neighbourhood and d its detail.

    Args:
        detail: of luma, ``[H - 1, W - 1, 4]``.
        prior: ``[SIDE^2, 4]``.
    """
    f = neighbourhoods(pooled(y), 2)
    both = torch.cat([f, detail - f @ prior], -1)
    edge = 2 * RADIUS
    both[:edge] = both[-edge:] = 0
    both[:, :edge] = both[:, -edge:] = 0
    valid = both.new_ones(both.shape[:2])
    valid[:edge] = valid[-edge:] = 0
    valid[:, :edge] = valid[:, -edge:] = 0
    h, w, n = both.shape
    ny, nx = -(-h // CELL), -(-w // CELL)
    pad = (0, nx * CELL - w, 0, ny * CELL - h)
    blocks = functional.pad(both.permute(2, 0, 1), pad).view(n, ny, CELL, nx, CELL)
    blocks = blocks.permute(1, 3, 2, 4, 0).reshape(ny * nx, CELL * CELL, n)
    k = SIDE**2
    gram = (blocks[..., :k].mT @ blocks).view(ny, nx, k * n)
    count = functional.pad(valid, pad).view(ny, CELL, nx, CELL).sum((1, 3))[..., None]
    gram, count = _around(gram), _around(count)
    gram = (gram / count.clamp_min(1)).view(ny, nx, k, n).double()
    a = gram[..., :k] + RIDGE * torch.eye(k, dtype=torch.float64)
    return torch.linalg.solve(a, gram[..., k:]).to(y.dtype)


def _around(x: Tensor) -> Tensor:
    """Sums of ``[ny, nx, m]`` over the nodes within ``REACH``."""
    for dim in (0, 1):
        n = x.shape[dim]
        out = x.clone()
        for u in range(1, min(REACH, n - 1) + 1):
            out.narrow(dim, u, n - u).add_(x.narrow(dim, 0, n - u))
            out.narrow(dim, 0, n - u).add_(x.narrow(dim, u, n - u))
        x = out
    return x


def node_weights(n: int, nodes: int, start: int = 0) -> tuple[Tensor, Tensor]:
    """For pixels ``start`` to ``start + n`` the lower of two nodes, and the weight of the upper."""
    place = ((torch.arange(start, start + n, dtype=torch.float64) + 0.5) / CELL - 0.5).clamp(0, nodes - 1)
    low = place.long().clamp(max=max(nodes - 2, 0))
    return low, (place - low).float()
