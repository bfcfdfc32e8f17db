"""The map of a plane whose leaves copy earlier blocks at the same scale.

On a leaf R that copies the block D of the same side,

    (T x)_R = E_R + Q x_D,

with E and Q as in :mod:`fractalkit.maps.quadtree`; elsewhere it is E. All of D lies in leaves before R, in Z-order
within blocks of 64 x 64 that follow row by row. So the matrix N of T is strictly lower triangular by leaves, hence
nilpotent, and T has exactly one fixed point, which one pass over the leaves computes. Let n(R) be 1 + the largest n of
the leaves in D, or 0 without a copy. The rows of |Q| sum to at most 5: 1 for the sample, 1 for the mean and less than
1.5 for each slope. So in the metric

    d(x, y) = max_p 10^-n(p) |x(p) - y(p)|

T contracts by 1/2: 10^-n(p) 5 max_D |x - y| <= 10^-n(p) 5 10^(n(p) - 1) d(x, y).

A copy at scale 1 is one at every scale, so the plane enlarged by any power of two is solved in the same way.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.quadtree import QuadtreePlane
from fractalkit.core import GaussSeidel, IteratedMap, Window
from fractalkit.maps.quadtree import explicit
from fractalkit.raster.cosines import slope_cosines

CELL = 4


def ranks(height: int, width: int, shape: tuple[int, ...]) -> np.ndarray:
    """The place of each cell of 4 x 4 samples in the order of decoding, ``[H/4, W/4]`` int64; beyond the picture -1."""
    cy, cx = np.arange(shape[0] // CELL), np.arange(shape[1] // CELL)
    rows = 256 * ((cy >> 4) * ((shape[1] + 63) // 64)) + 2 * _spread(cy & 15)
    out = rows[:, None] + 256 * (cx >> 4) + _spread(cx & 15)
    out[-(-height // CELL) :] = out[:, -(-width // CELL) :] = -1
    return np.asarray(out)


def _spread(v: np.ndarray) -> np.ndarray:
    """The four bits of numbers below 16 in the even places."""
    return np.asarray(sum((v >> i & 1) << (2 * i) for i in range(4)))


def copied_leaves(plane: QuadtreePlane) -> np.ndarray:
    """The leaves that copy, in order: row, column, log2 of the side, row and column of the block: ``[n, 5]`` int64.

    Copies of blocks that do not come before in whole are ignored.
    """
    from fractalkit.maps import quadtree_cpu as cpu

    h, w = plane.level.shape
    cy, cx = np.nonzero(plane.maps[..., 0] > 0)
    log = plane.logs[cy, cx].astype(np.int64)
    y, x = CELL * cy.astype(np.int64), CELL * cx.astype(np.int64)
    leaves = np.stack([y, x, log, y + plane.maps[cy, cx, 2], x + plane.maps[cy, cx, 3]], 1)
    order = ranks(plane.height, plane.width, (h, w))
    leaves = leaves[(log >= 2) & (order[cy, cx] >= 0)]
    leaves = leaves[np.argsort(order[leaves[:, 0] // CELL, leaves[:, 1] // CELL], kind="stable")]
    return leaves[cpu.before(order, leaves)]


class QuadtreeCopyMap(IteratedMap):
    """The map of one plane with copies, ``[1, H, W]``, with ``scale`` x ``scale`` values per sample."""

    def __init__(
        self, plane: QuadtreePlane, scale: int = 1, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
    ) -> None:
        self.plane, self.scale, self.dtype, self.device = plane, scale, dtype, device
        self.leaves = copied_leaves(plane)
        self.given = explicit(plane, scale)
        self.shape = self.given.shape

    def whole(self) -> Window:
        """(0, 0, width, height) of the padded plane."""
        return 0, 0, self.shape[1], self.shape[0]

    def solve_options(self) -> dict[str, Any]:
        """One sweep solves the map; the second finds no change."""
        return {"solver": GaussSeidel(), "residual": 1e-3, "max_steps": 2}

    def start(self) -> Tensor:
        """E."""
        return torch.from_numpy(self.given).to(self.device, self.dtype)[None].clone()

    def sweep(self, x: Tensor) -> Tensor:
        """Compute leaf after leaf, each from the newest values."""
        out = self.given.copy()
        self._copy(out, out)
        return torch.from_numpy(out).to(self.device, self.dtype)[None]

    def fast_step(self, x: np.ndarray) -> np.ndarray:
        """:meth:`step` of a float32 array ``[H, W]``, compiled."""
        out = self.given.copy()
        self._copy(x, out)
        return out

    def _copy(self, x: np.ndarray, out: np.ndarray) -> None:
        from fractalkit.maps import quadtree_cpu as cpu

        cpu.copy(
            x, self.given, self.leaves, slope_cosines(), slope_cosines(self.scale), float(self.plane.slopes),
            self.scale, out,
        )  # fmt: skip

    def step(self, x: Tensor) -> Tensor:
        """E + Q x_D, ``[1, H, W]``."""
        out = torch.from_numpy(self.given).to(x)[None].clone()
        k = self.scale
        for y, c, log, yd, xd in self.leaves.tolist():
            side = 1 << log
            d = x[0, yd * k : (yd + side) * k, xd * k : (xd + side) * k]
            small = d.reshape(side, k, side, k).mean((1, 3))
            wave = torch.from_numpy(slope_cosines()[log, :side]).to(x)
            fine = torch.from_numpy(slope_cosines(k)[log, : side * k]).to(x)
            low = small.mean()
            if self.plane.slopes:
                down, across = small.sum(1) @ wave / side, small.sum(0) @ wave / side
                low = low + (down * fine)[:, None] + (across * fine)[None]
            out[0, y * k : (y + side) * k, c * k : (c + side) * k] += d - low
        return out

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """max_p 10^-n(p) |x(p) - y(p)|, ``[1]``."""
        return ((x - y).abs() * self._weights.to(x)).amax()[None]

    def lipschitz(self) -> Tensor:
        """1/2, ``[1]``."""
        return torch.full((1,), 0.5, dtype=self.dtype, device=self.device)

    @cached_property
    def _weights(self) -> Tensor:
        n = np.zeros(self.plane.level.shape)
        for y, x, log, yd, xd in self.leaves:
            side = 1 << int(log)
            n[y : y + side, x : x + side] = 1 + n[yd : yd + side, xd : xd + side].max()
        return torch.from_numpy((0.1**n).repeat(self.scale, 0).repeat(self.scale, 1))
