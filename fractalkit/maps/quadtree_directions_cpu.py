"""Compiled loops over the leaves of a quadtree plane that continue the lines at their borders."""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.codes.quadtree import DIRECTIONS
from fractalkit.compiled import inner

# mypy: disable-error-code="no-untyped-def, call-arg"

LIMIT = 1048576.0  # of decoded values, far beyond those of 16 bits
ACROSS = np.array([d[0] for d in DIRECTIONS], np.int64)
_SLOPE = np.array([d[1] for d in DIRECTIONS], np.int64)


@inner("void(float32[:, ::1], int64[:, ::1], int64, int64, int64, float32[::1], float32[::1])")
def border(x, order, y, c, side, top, left):
    """The samples around a leaf: ``top`` ``[2 side + 1]`` from the corner to the right, ``left`` from it downwards.

    Samples that do not come before the leaf repeat the last one that does.
    """
    h, w = x.shape
    own = order[y >> 2, c >> 2]
    first = x[y - 1, c] if y > 0 else (x[y, c - 1] if c > 0 else np.float32(0.0))
    corner = x[y - 1, c - 1] if y > 0 and c > 0 else first
    top[0] = left[0] = corner
    last = first if y > 0 else corner
    for k in range(0, 2 * side, 4):
        if y > 0 and c + k < w:
            place = order[(y - 1) >> 2, (c + k) >> 2]
            if 0 <= place < own:
                for i in range(k, k + 4):
                    top[i + 1] = x[y - 1, c + i]
                last = top[k + 4]
                continue
        for i in range(k, k + 4):
            top[i + 1] = last
    last = x[y, c - 1] if c > 0 else corner
    for k in range(0, 2 * side, 4):
        if c > 0 and y + k < h:
            place = order[(y + k) >> 2, (c - 1) >> 2]
            if 0 <= place < own:
                for i in range(k, k + 4):
                    left[i + 1] = x[y + i, c - 1]
                last = left[k + 4]
                continue
        for i in range(k, k + 4):
            left[i + 1] = last


@inner("void(float32[::1], float32[::1], int64, int64, float32[::1], float32[:, ::1])")
def continued(top, left, side, direction, line, out):
    """The block of the lines that run from a border in a direction; rows and columns swapped if it is across.

    ``line`` ``[192]`` is scratch: the border from which they start, from -side to 2 side.
    """
    slope = _SLOPE[direction]
    one, other = (left, top) if ACROSS[direction] else (top, left)
    for i in range(2 * side + 1):
        line[64 + i] = one[i]
    if slope < 0:
        inverse = (8192 + (-slope >> 1)) // -slope
        for m in range(1, ((side * -slope) >> 5) + 1):
            line[64 - m] = other[min(2 * side, (m * inverse + 128) >> 8)]
    for i in range(side):
        at = (i + 1) * slope
        k = 65 + (at >> 5)
        f = np.float32((at & 31) / 32.0)
        if f == 0:
            for j in range(side):
                out[i, j] = line[k + j]
        else:
            for j in range(side):
                out[i, j] = line[k + j] + f * (line[k + j + 1] - line[k + j])


@inner("float64(float32[:, ::1], int64, float64[::1])")
def mean_of(d, side, columns):
    """The mean of a block, summed by columns first; ``columns`` ``[64]`` is scratch."""
    for j in range(side):
        columns[j] = 0.0
    for i in range(side):
        for j in range(side):
            columns[j] += d[i, j]
    mean = 0.0
    for j in range(side):
        mean += columns[j]
    return mean / (side * side)


@nb.njit(cache=True, nogil=True)
def direct(x, explicit, leaves, order, out):
    """Apply the map leaf by leaf, ``out`` = explicit + Q P x, and return the largest change.

    If ``out`` is ``x``, each leaf reads the new values of those before it, which solves the map. ``leaves`` ``[n, 4]``
    are row, column, log2 of the side, and direction.
    """
    top, left = np.zeros(129, np.float32), np.zeros(129, np.float32)
    line, d = np.zeros(256, np.float32), np.zeros((64, 64), np.float32)
    scratch = np.zeros(64)
    change = 0.0
    for n in range(len(leaves)):
        y, c, log, direction = leaves[n]
        side = 1 << log
        border(x, order, y, c, side, top, left)
        continued(top, left, side, direction, line, d)
        mean = mean_of(d, side, scratch)
        for i in range(side):
            for j in range(side):
                a, b = (j, i) if ACROSS[direction] else (i, j)
                v = np.float64(explicit[y + a, c + b]) + d[i, j] - mean
                v = np.float32(min(LIMIT, max(-LIMIT, v)))
                change = max(change, abs(np.float64(v) - x[y + a, c + b]))
                out[y + a, c + b] = v
    return change
