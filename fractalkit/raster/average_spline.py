"""The smooth picture whose area averages are given: a quadratic spline, and its averages over quarters of pixels.

On a line, let s be the quadratic spline with knots at the borders of pixels whose mean over each pixel i is L_i. Its
integral is the cubic spline through the running sums of L, so its B-spline coefficients are L filtered by the inverse
of (1, 4, 1) / 6, whose pole is z = sqrt(3) - 2. The means of s over the two halves of pixel i are L_i + d_i and
L_i - d_i, with

    d_i = sum_{u >= 1} k_u (L_{i-u} - L_{i+u}),        k_u = sqrt(3) (1 - z^2) z^(u-1) / 8.

So averages of the refined picture are the picture itself, exactly; and as the spaces of such splines are nested,
refining twice samples the same spline. In the plane, do it along rows and along columns.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

REACH = 10  # pixels on either side; |z|^10 is 2e-6
POLE = np.sqrt(3.0) - 2
KERNEL = np.sqrt(3.0) * (1 - POLE**2) / 8 * POLE ** np.arange(REACH)  # k_1, k_2, ...


def refine(picture: Tensor) -> Tensor:
    """Averages over quarters of pixels ``[C, 2H, 2W]`` of the spline whose averages over pixels are ``[C, H, W]``.

    Beyond its borders the picture is mirrored, the outermost pixels repeated.

    >>> x = torch.arange(12.0).view(1, 3, 4)
    >>> torch.allclose(torch.nn.functional.avg_pool2d(refine(x), 2), x)
    True
    """
    for dim in (2, 1):
        picture = _refine(picture, dim)
    return picture


def _refine(x: Tensor, dim: int) -> Tensor:
    n = x.shape[dim]
    period = np.arange(-REACH, n + REACH) % (2 * n)
    mirror = torch.from_numpy(np.minimum(period, 2 * n - 1 - period)).to(x.device)
    wide = x.index_select(dim, mirror)
    d = torch.zeros_like(x)
    for u, k in enumerate(KERNEL.tolist(), 1):
        d = d + k * (wide.narrow(dim, REACH - u, n) - wide.narrow(dim, REACH + u, n))
    return torch.stack([x + d, x - d], dim + 1).flatten(dim, dim + 1)
