"""Compiled loops of the filter of decoded planes: classes of cells by gradients, and sums over neighbours, in integers.

Planes are in units of a 64th of the quantiser's step, padded by ``PAD`` samples that repeat the border.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.compiled import inner

# mypy: disable-error-code="no-untyped-def, call-arg"

PAD = 4
CELL = 4
UNITS = 64  # of a step
FAR = 32 * UNITS  # differences are cut here
NEAR = UNITS // 4  # and here for the second weight of each neighbour
# sums of gradients, 64 along rows and 64 along columns, at which a class of activity ends: .01 to .4 steps each
LEVELS = np.array([82, 246, 492, 819, 1311, 2048, 3277], np.int64)
DIRECTIONS = 9  # none; then two strengths of rows, columns and the two diagonals
CLASSES = (len(LEVELS) + 1) * DIRECTIONS


@inner()
def _bent(a, b, c):
    """Size of the second difference of three values, cut."""
    return min(np.int64(abs(2 * b - a - c)), np.int64(4096))


@inner()
def _gradients(q, height, width):
    """Second differences along rows, columns and both diagonals, summed over squares of 2 x 2: ``[h, w, 4]`` int64."""
    out = np.zeros(((height + CELL - 1) // CELL * 2, (width + CELL - 1) // CELL * 2, 4), np.int64)
    for y in range(2 * out.shape[0]):
        for x in range(2 * out.shape[1]):
            i, j = min(y, height - 1) + PAD, min(x, width - 1) + PAD
            b = q[i, j]
            out[y >> 1, x >> 1, 0] += _bent(q[i, j - 1], b, q[i, j + 1])
            out[y >> 1, x >> 1, 1] += _bent(q[i - 1, j], b, q[i + 1, j])
            out[y >> 1, x >> 1, 2] += _bent(q[i - 1, j - 1], b, q[i + 1, j + 1])
            out[y >> 1, x >> 1, 3] += _bent(q[i - 1, j + 1], b, q[i + 1, j - 1])
    return out


@inner()
def _class(rows, columns, falling, rising):
    """The class of a cell by its sums of second differences: activity, then direction."""
    activity = 0
    while activity < len(LEVELS) and rows + columns >= LEVELS[activity]:
        activity += 1
    high, low = max(rows, columns), min(rows, columns)
    kind = 0 if rows > columns else 1
    slanted, other = max(falling, rising), min(falling, rising)
    if slanted * low > high * other:
        high, low = slanted, other
        kind = 2 if falling > rising else 3
    strength = (1 if 2 * high > 3 * low else 0) + (1 if high > 3 * low else 0)
    return activity * DIRECTIONS + (0 if strength == 0 else 2 * kind + strength)


@nb.njit(cache=True, nogil=True)
def classes(q, height, width):
    """The class of each cell of 4 x 4 samples, from the 8 x 8 samples around: ``[H / 4, W / 4]`` int64."""
    g = _gradients(q, height, width)
    out = np.empty((g.shape[0] // 2, g.shape[1] // 2), np.int64)
    total = np.empty(4, np.int64)
    for cy in range(out.shape[0]):
        for cx in range(out.shape[1]):
            for k in range(4):
                total[k] = 0
                for i in range(2 * cy - 1, 2 * cy + 3):
                    for j in range(2 * cx - 1, 2 * cx + 3):
                        total[k] += g[min(max(i, 0), g.shape[0] - 1), min(max(j, 0), g.shape[1] - 1), k]
            out[cy, cx] = _class(total[0], total[1], total[2], total[3])
    return out


@inner()
def _add_pair(here, one, other, wide, cut, total):
    """Add the weighed differences of one pair of neighbours along a row; all in int32, for SIMD."""
    far, near = np.int32(FAR), np.int32(NEAR)
    for j in range(len(total)):
        d, e = np.int32(one[j] - here[j]), np.int32(other[j] - here[j])
        a = np.int32(max(-far, min(far, d)) + max(-far, min(far, e)))
        b = np.int32(max(-near, min(near, d)) + max(-near, min(near, e)))
        total[j] = np.int32(total[j] + np.int32(wide[j] * a) + np.int32(cut[j] * b))


@nb.njit(cache=True, nogil=True)
def refine(x, q, kinds, taps, weights, unit):
    """Add to ``x`` ``[H, W]`` the weighed differences of neighbours, ``unit`` times.

    Args:
        q: the padded plane, int32.
        kinds: as :func:`classes`.
        taps: ``[n, 2]`` rows and columns to a neighbour; the opposite one has the same weights.
        weights: ``[CLASSES, n, 2]`` int32, of differences cut at ``FAR`` and at ``NEAR``.
    """
    height, width = x.shape
    own = np.empty((2, len(taps), kinds.shape[1] * CELL), np.int32)  # the weights of each column
    total = np.empty(width, np.int32)
    for cy in range(kinds.shape[0]):
        for n in range(len(taps)):
            for cx in range(kinds.shape[1]):
                for j in range(CELL):
                    own[0, n, cx * CELL + j] = weights[kinds[cy, cx], n, 0]
                    own[1, n, cx * CELL + j] = weights[kinds[cy, cx], n, 1]
        for y in range(cy * CELL, min(cy * CELL + CELL, height)):
            total[:] = 0
            for n in range(len(taps)):
                dy, dx = taps[n]
                _add_pair(
                    q[y + PAD, PAD : PAD + width], q[y + PAD + dy, PAD + dx : PAD + dx + width],
                    q[y + PAD - dy, PAD - dx : PAD - dx + width], own[0, n], own[1, n], total,
                )  # fmt: skip
            for j in range(width):
                x[y, j] += np.float32(total[j]) * unit
