"""The pixels that an attractor touches, each with a point of the attractor in it, without a chaos game.

A point of the attractor is kept for each cell of a fine grid. From the fixed points of the maps on, the images of every
kept point under all maps are kept where their cell is still empty. So each cell is worked on once, however improbable
it is; an orbit would have to wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import DataError, UsageError
from fractalkit.rows import copy_row, copy_rows

# mypy: disable-error-code="no-untyped-def"

MAX_CELLS = 1 << 28


@dataclass(frozen=True)
class Touched:
    """Points of an attractor, one for each cell that it touches.

    Attributes:
        points: ``[N, 2]``, in the attractor's units.
        parents, letters: ``[N]``, point n is the image of point parents[n] under map letters[n].
        index: ``[H, W]``, number of the point in each cell, -1 where there is none; row 0 at the lowest y.
        outside: points that fell outside the window and were followed too, but have no cell.
    """

    points: np.ndarray
    parents: np.ndarray
    letters: np.ndarray
    index: np.ndarray
    outside: int

    def addresses(self, length: int, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Letters ``[M, L]``, last map first, of all points or of rows ``[M]``, and the points they start from."""
        at = np.arange(len(self.points)) if rows is None else rows
        out = np.empty((len(at), length), np.int64)
        for j in range(length):
            out[:, j] = self.letters[at]
            at = self.parents[at]
        return out, at

    def mask(self, factor: int = 1) -> np.ndarray:
        """Whether each block of ``factor`` x ``factor`` cells is touched: ``[H / factor, W / factor]``."""
        h, w = self.index.shape
        seen = self.index >= 0
        return np.asarray(seen.reshape(h // factor, factor, w // factor, factor).any(axis=(1, 3)))


def touched_cells(
    ifs: AffineIFS, shape: tuple[int, int], low: np.ndarray, high: np.ndarray, *, most: int = 1 << 24
) -> Touched:
    """The cells of a window that a planar attractor touches.

    The result is a set of points of the attractor, so no cell is wrong; one may be missing where the attractor only
    grazes it, and the more so the coarser the grid. Count on a grid twice or four times as fine, and take blocks.

    Args:
        shape: (H, W).
        low, high: corners ``[2]`` of the window, x first.
        most: points, at most; those outside the window count too.

    Raises:
        DataError: a code in space, or one that does not contract.
        UsageError: too many cells, or an empty window.
    """
    if ifs.dim != 2:
        raise DataError(f"touched_cells: expected a code of the plane, got one of {ifs.dim} dimensions")
    h, w = shape
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if h < 1 or w < 1 or h * w > MAX_CELLS or not (high > low).all():
        raise UsageError(f"touched_cells: expected a window and 1 to {MAX_CELLS:,} cells, got {h} x {w}")
    ifs.check_contractive()
    a, t = ifs.matrices.detach().double().numpy(), ifs.offsets.detach().double().numpy()
    maps = np.concatenate([a, t[:, :, None]], axis=2)
    fixed = np.linalg.solve(np.eye(2) - a, t[..., None])[..., 0]
    index = np.full((h, w), -1, np.int32)
    points, parents, letters, outside = flood(maps, fixed, low, (high - low) / np.array([w, h]), index, most)
    return Touched(points, parents, letters, index, outside)


@nb.njit(cache=True, nogil=True)
def flood(maps, fixed, low, cell, index, most):
    """Fill index ``[H, W]`` and return points ``[N, 2]``, parents and letters ``[N]``, and the number outside."""
    h, w = index.shape
    # what lies outside is followed on a coarse grid of nine windows, so that it is found if it leads back inside
    coarse = 8
    ch, cw = 3 * ((h + coarse - 1) // coarse), 3 * ((w + coarse - 1) // coarse)
    beyond = np.zeros((ch, cw), np.bool_)
    size = 1 << 14
    points, parents, letters = np.empty((size, 2)), np.empty(size, np.int32), np.empty(size, np.int16)
    n = 0
    outside = 0
    k = len(maps)
    head = -1
    while head < n and n < most:
        for m in range(k):
            if head < 0:
                x, y, parent = fixed[m, 0], fixed[m, 1], n
            else:
                p, q = points[head, 0], points[head, 1]
                x = maps[m, 0, 0] * p + maps[m, 0, 1] * q + maps[m, 0, 2]
                y = maps[m, 1, 0] * p + maps[m, 1, 1] * q + maps[m, 1, 2]
                parent = head
            u, v = (x - low[0]) / cell[0], (y - low[1]) / cell[1]
            inside = u >= 0 and v >= 0 and u < w and v < h
            if inside:
                if index[int(v), int(u)] >= 0:
                    continue
                index[int(v), int(u)] = n
            else:
                cu = min(max(int(u / coarse + cw // 3), 0), cw - 1)
                cv = min(max(int(v / coarse + ch // 3), 0), ch - 1)
                if beyond[cv, cu]:
                    continue
                beyond[cv, cu] = True
                outside += 1
            if n == size:
                size *= 2
                more, mother, line = np.empty((size, 2)), np.empty(size, np.int32), np.empty(size, np.int16)
                copy_rows(points, more[:n])
                copy_row(parents, mother[:n])
                copy_row(letters, line[:n])
                points, parents, letters = more, mother, line
            points[n, 0], points[n, 1] = x, y
            parents[n], letters[n] = parent, m
            n += 1
            if n >= most:
                break
        head += 1
        if head >= n:
            break
    return points[:n].copy(), parents[:n].copy(), letters[:n].copy(), outside
