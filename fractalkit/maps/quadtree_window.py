"""A part of a quadtree plane's fixed point, finely: only the leaves it shows, and what their domains need of others.

A leaf at scale 2k is its cosines there plus s Q of its domain at scale k, wherever that lies: recursion on leaves, each
computed once, halving the scale each time, down to the fixed point on the plane's own grid.
"""

from __future__ import annotations

import numpy as np

from fractalkit.codes.quadtree import QuadtreePlane
from fractalkit.maps import quadtree_cpu as cpu


class Window:
    """Pieces of one plane at any scale (a power of two).

    Args:
        plane: the code.
        x: its fixed point on its own grid, ``[H, W]`` float32.
        coefficients: its cosines, ``[H, W]`` float32, as :func:`~fractalkit.maps.quadtree.dequantised` gives them.
        leaves, contrast: as :func:`~fractalkit.maps.quadtree.mapped_leaves` gives them.
    """

    def __init__(
        self, plane: QuadtreePlane, x: np.ndarray, coefficients: np.ndarray, leaves: np.ndarray, contrast: np.ndarray
    ) -> None:
        self.plane, self.x, self.c = plane, x, coefficients
        self.maps = {(int(r[0]), int(r[1])): (r, float(s)) for r, s in zip(leaves, contrast, strict=True)}
        self.blocks: dict[tuple[int, int, int], np.ndarray] = {}

    def at(self, y0: int, x0: int, y1: int, x1: int, scale: int) -> np.ndarray:
        """Rows y0 to y1 and columns x0 to x1 of the plane's own grid, ``[(y1 - y0) scale, (x1 - x0) scale]``."""
        if scale == 1:
            return self.x[y0:y1, x0:x1]
        out = np.zeros(((y1 - y0) * scale, (x1 - x0) * scale), np.float32)
        logs = self.plane.logs
        for cy in range(y0 >> 2, (y1 + 3) >> 2):
            cx = x0 >> 2
            while cx < (x1 + 3) >> 2:
                log = int(logs[cy, cx])
                if log == 0:
                    cx += 1
                    continue
                cells = 1 << (log - 2)
                y, x = cy // cells * cells * 4, cx // cells * cells * 4
                cx = x // 4 + cells
                if cy != max(y0 >> 2, y // 4):
                    continue  # the leaf was taken with its first row that shows
                block = self._block(y, x, log, scale)
                side = 1 << log
                top, bottom, left, right = max(y, y0), min(y + side, y1), max(x, x0), min(x + side, x1)
                out[(top - y0) * scale : (bottom - y0) * scale, (left - x0) * scale : (right - x0) * scale] = block[
                    (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale
                ]
        return out

    def _block(self, y: int, x: int, log: int, scale: int) -> np.ndarray:
        key = y, x, scale
        if key not in self.blocks:
            from fractalkit.maps.quadtree import cosines, waves

            side = 1 << log
            a = cosines(side, scale).astype(np.float32)
            block = a @ self.c[y : y + side, x : x + side] @ a.T
            if (y, x) in self.maps:
                row, s = self.maps[y, x]
                half = scale // 2
                domain = self.at(int(row[4]), int(row[5]), int(row[4]) + 2 * side, int(row[5]) + 2 * side, half)
                one = np.array([[0, 0, log, row[3], 0, 0]], np.int64)
                given, block = block, np.empty_like(block)
                cpu.lift(
                    np.ascontiguousarray(domain), given, one, np.array([s], np.float32), waves(),
                    float(self.plane.slopes), waves(scale), half, block,
                )  # fmt: skip
            self.blocks[key] = block
        return self.blocks[key]
