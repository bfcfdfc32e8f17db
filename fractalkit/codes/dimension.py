"""Fractal dimensions: from the code (Moran, Falconer) and from points (box counting)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from fractalkit.codes.affine import AffineIFS


def similarity_dimension(ifs: AffineIFS) -> float:
    """The s with Σ_k r_k^s = 1, r_k = ||A_k|| (Moran, 1946).

    For similitudes under the open set condition it is the Hausdorff dimension; with overlaps, or for maps that are no
    similitudes, an upper bound on it. May exceed the dimension of the space.

    >>> from fractalkit.codes import AffineIFS
    >>> ifs = AffineIFS(torch.eye(2).expand(3, 2, 2) / 2, torch.tensor([[0., 0.], [.5, 0.], [.25, .5]]))
    >>> round(similarity_dimension(ifs), 4)  # log 3 / log 2
    1.585
    """
    r = ifs.check_contractive().norms()
    return _root(lambda s: float((r[r > 0] ** s).sum()) - 1)


def affinity_dimension(ifs: AffineIFS) -> float:
    """The s with Σ_k φ^s(A_k) = 1, φ^s Falconer's singular value function (1988), one level deep.

    φ^s(A) = σ_1 … σ_m σ_{m+1}^(s-m), m = floor(s), and |det A|^(s/D) from D on. The exact affinity dimension takes the
    limit over words; this first level bounds it from above, and equals it for similitudes.
    """
    sv = torch.linalg.svdvals(ifs.check_contractive().matrices.detach().cpu().double())  # [K, D]
    d = ifs.dim

    def total(s: float) -> float:
        m = min(math.floor(s), d)
        if m == d:
            return float((sv.prod(dim=1) ** (s / d)).sum()) - 1
        tail = sv[:, m] ** (s - m) if s > m else torch.ones_like(sv[:, 0])
        return float((sv[:, :m].prod(dim=1) * tail).sum()) - 1

    return _root(total)


def _root(f) -> float:  # type: ignore[no-untyped-def]
    """The zero of a function that falls to below 0, from s = 0 on, by bisection."""
    if f(0.0) <= 0:
        return 0.0
    high = 1.0
    while f(high) > 0 and high < 1e6:
        high *= 2
    low = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) > 0 else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class BoxCount:
    """A box-counting estimate: the slope, its standard error, and the counts it was fitted to."""

    dimension: float
    standard_error: float
    sizes: list[float]  # box sides, as shares of the longest side of the bounding box
    counts: list[int]


def box_dimension(points: Tensor | np.ndarray, *, grids: int = 4) -> BoxCount:
    """Box-counting dimension of points ``[N, D]``, averaged over ``grids`` shifts of each grid.

    Fits log(count) to log(1 / side) over the sides at which the cloud is neither one lump (fewer than 8 boxes) nor mere
    dust (more than N / 8 boxes, where the sample and not the set is counted).

    Raises:
        ValueError: fewer than two usable sides; give more points.
    """
    x = np.asarray(points.detach().cpu() if isinstance(points, Tensor) else points, dtype=np.float64)
    low, span = x.min(axis=0), float((x.max(axis=0) - x.min(axis=0)).max())
    if span == 0:
        return BoxCount(0.0, 0.0, [], [])
    unit = (x - low) / span
    sizes, counts = [], []
    for level in range(2, 33):
        side = 2.0 ** (-level / 2)
        total = 0
        for g in range(grids):
            boxes = np.floor(unit / side + g / grids).astype(np.int64)
            key = boxes[:, 0]
            for c in range(1, x.shape[1]):
                key = key * (1 << 20) + boxes[:, c]
            total += len(np.unique(key))
        count = total // grids
        if count > len(x) / 8:
            break
        if count >= 8:
            sizes.append(side)
            counts.append(count)
    if len(sizes) < 2:
        raise ValueError(f"box counting needs more than {len(x)} points to see two scales")
    u, v = -np.log(sizes), np.log(counts)
    design = np.stack([u, np.ones_like(u)], axis=1)
    (slope, intercept), *_ = np.linalg.lstsq(design, v, rcond=None)
    residual = v - slope * u - intercept
    error = math.sqrt(float(residual @ residual) / max(len(u) - 2, 1) / float(((u - u.mean()) ** 2).sum()))
    return BoxCount(float(slope), error, sizes, counts)
