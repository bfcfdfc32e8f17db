"""The map of a plane whose leaves continue the lines that reach their borders.

A leaf R with a direction copies the row of samples above it, or the column to its left, along that direction, as the
directional prediction of HEVC does (Lainema et al., IEEE TCSVT 22, 2012). With P_R this linear map and Q the projection
that removes the mean,

    (T x)_R = E_R + Q P_R x,

with E as in :mod:`fractalkit.maps.quadtree`; elsewhere it is E. The border lies in leaves before R, so T is nilpotent
and one pass over the leaves computes its fixed point, as in :mod:`fractalkit.maps.quadtree_copies`. Each row of P_R
weighs at most two samples, by weights of at least 0 and of sum 1, so the rows of |Q P_R| sum to less than 2. Let n(R)
be 1 + the largest n of the leaves at the border, or 0 without a direction. In the metric

    d(x, y) = max_p 4^-n(p) |x(p) - y(p)|

T contracts by 1/2. An address takes some four bits instead of the twenty and more of a domain.

At any other scale the map is one of functions: P_R reads the means over the samples of scale 1, and its block is shown
through the block's own cosines, as E is. So the fixed point is that of scale 1 with its cosines seen on a finer grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.quadtree import DIRECTIONS, QuadtreePlane
from fractalkit.core import GaussSeidel, IteratedMap, Window
from fractalkit.maps.quadtree import CELL, QuadtreeMap, all_leaves, dequantised
from fractalkit.maps.quadtree_copies import ranks
from fractalkit.raster.cosines import block_cosines


def directed_leaves(plane: QuadtreePlane) -> np.ndarray:
    """The leaves with a direction, in order: row, column, log2 of the side, index in DIRECTIONS: ``[n, 4]`` int64."""
    leaves = all_leaves(plane)
    order = ranks(plane.height, plane.width, plane.level.shape)
    place = order[leaves[:, 0] // CELL, leaves[:, 1] // CELL]
    chosen = plane.maps[leaves[:, 0] // CELL, leaves[:, 1] // CELL, 0].astype(np.int64)
    kept = np.nonzero((place >= 0) & (chosen > 0) & (leaves[:, 2] > 1))[0]
    kept = kept[np.argsort(place[kept], kind="stable")]
    return np.concatenate([leaves[kept], np.minimum(chosen[kept, None], len(DIRECTIONS)) - 1], 1)


@lru_cache(maxsize=256)
def weights(log: int, direction: int) -> np.ndarray:
    """P_R: ``[side^2, 2 (2 side + 1)]``, of the border above from the corner on, then of that to the left."""
    side = 1 << log
    across, slope = DIRECTIONS[direction]
    n = 2 * side + 1
    start, other = (n, 0) if across else (0, n)
    out = np.zeros((side, side, 2 * n))

    def column(at: int) -> int:
        if at >= 0:
            return start + at
        inverse = round(8192 / -slope)
        return other + min(2 * side, (-at * inverse + 128) >> 8)

    for i in range(side):
        k, f = ((i + 1) * slope) >> 5, (((i + 1) * slope) & 31) / 32
        for j in range(side):
            where = (j, i) if across else (i, j)
            out[(*where, column(j + 1 + k))] += 1 - f
            if f:
                out[(*where, column(j + 2 + k))] += f
    return out.reshape(side * side, 2 * n)


def border_places(order: np.ndarray, y: int, x: int, side: int) -> np.ndarray:
    """Rows and columns of the samples that a leaf reads for its borders above and to the left: ``[2 (2 side + 1), 2]``.

    (-1, -1) stands for a sample of 0, at the first leaf.
    """
    own = order[y // CELL, x // CELL]
    first = (y - 1, x) if y else (y, x - 1) if x else (-1, -1)
    corner = (y - 1, x - 1) if y and x else first
    out = []
    for down in (False, True):
        inside = x > 0 if down else y > 0
        last = ((y, x - 1) if down else (y - 1, x)) if inside else corner
        out.append(corner)
        for i in range(2 * side):
            row, column = (y + i, x - 1) if down else (y - 1, x + i)
            if inside and row < CELL * order.shape[0] and column < CELL * order.shape[1]:
                last = (row, column) if 0 <= order[row // CELL, column // CELL] < own else last
            out.append(last)
    return np.array(out)


class QuadtreeDirectionMap(QuadtreeMap):
    """The map of one plane with directions, ``[1, H, W]``; other scales are lifted from scale 1."""

    def __init__(self, plane: QuadtreePlane, scale: int = 1, **options: Any) -> None:
        super().__init__(plane, scale, **options)
        self.directed = directed_leaves(plane)
        self.order = ranks(plane.height, plane.width, plane.level.shape)

    def level(self) -> tuple[str, int]:
        """The scale."""
        return "quadtree with directions", self.scale

    def needs(self, window: Window | None) -> list[tuple[IteratedMap, Window | None]] | None:
        """The whole plane at scale 1."""
        if self.scale == 1:
            return None
        native = QuadtreeDirectionMap(self.plane, dtype=self.dtype, device=self.device, given=self.given)
        return [(native, native.whole())]

    def lift(self, parts: Sequence[Tensor], window: Window | None) -> Tensor:
        """The blocks' cosines on the finer grid: ``[1, h, w]``."""
        self._values = self._all_cosines(parts[0][0].cpu().numpy().astype(np.float32))
        return super().lift(parts if self._large(window) else [], window)

    def _all_cosines(self, x: np.ndarray) -> np.ndarray:
        """Cosines of E and of what the directions add to it, given the fixed point at scale 1."""
        out = dequantised(self.plane)
        added = x - self.given
        for log in np.unique(self.directed[:, 2]):
            side = 1 << int(log)
            a = block_cosines(side).astype(np.float32)
            y, c = self.directed[self.directed[:, 2] == log, :2].T // side
            shape = (out.shape[0] // side, side, out.shape[1] // side, side)
            out.reshape(shape)[y, :, c] += a.T @ added.reshape(shape)[y, :, c] @ a
        return out

    # ---- scale 1

    def solve_options(self) -> dict[str, Any]:
        """One sweep solves the map, so the residual is not measured."""
        return {"solver": GaussSeidel(), "steps": 1}

    def _update(self, x: np.ndarray, out: np.ndarray) -> float:
        from fractalkit.maps import quadtree_directions_cpu as cpu

        return float(cpu.direct(x, self.given, self.directed, self.order, out))

    def step(self, x: Tensor) -> Tensor:
        """E + Q P x, ``[1, H, W]``."""
        out = torch.from_numpy(self.given).to(x)[None].clone()
        for y, c, log, direction in self.directed.tolist():
            side = 1 << log
            places = border_places(self.order, y, c, side)
            values = torch.where(torch.from_numpy(places[:, 0] >= 0).to(x.device), x[0, places[:, 0], places[:, 1]], 0)
            block = (torch.from_numpy(weights(log, direction)).to(x) @ values).reshape(side, side)
            out[0, y : y + side, c : c + side] += block - block.mean()
        return out

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """max_p 4^-n(p) |x(p) - y(p)|, ``[1]``."""
        return ((x - y).abs() * self._metric.to(x)).amax()[None]

    def lipschitz(self) -> Tensor:
        """1/2, ``[1]``."""
        return torch.full((1,), 0.5, dtype=self.dtype, device=self.device)

    @cached_property
    def _metric(self) -> Tensor:
        n = np.zeros(self.shape)
        for y, c, log, _ in self.directed.tolist():
            side = 1 << log
            places = border_places(self.order, y, c, side)
            places = places[places[:, 0] >= 0]
            n[y : y + side, c : c + side] = 1 + (n[places[:, 0], places[:, 1]].max() if len(places) else -1)
        return torch.from_numpy(0.25**n)
