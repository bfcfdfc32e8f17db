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
def _add_bent(here, one, other, total):
    """Add the sizes of second differences of three rows, cut; all in int32, for SIMD."""
    for j in range(len(total)):
        d = np.int32(np.int32(2) * here[j] - one[j] - other[j])
        total[j] = np.int32(total[j] + min(max(d, np.int32(-d)), np.int32(4096)))


@inner()
def _gradients(q, height, width):
    """Second differences along rows, columns and both diagonals, summed over squares of 2 x 2: ``[4, h, w]`` int32.

    Beyond the borders of the plane, its last row and column count again.
    """
    out = np.zeros((4, (height + CELL - 1) // CELL * 2, (width + CELL - 1) // CELL * 2), np.int32)
    sums = np.zeros((4, 2 * out.shape[2]), np.int32)
    for y in range(2 * out.shape[1]):
        i = min(y, height - 1) + PAD
        above, here, below = q[i - 1], q[i], q[i + 1]
        a, b = PAD, PAD + width
        _add_bent(here[a:b], here[a - 1 : b - 1], here[a + 1 : b + 1], sums[0, :width])
        _add_bent(here[a:b], above[a:b], below[a:b], sums[1, :width])
        _add_bent(here[a:b], above[a - 1 : b - 1], below[a + 1 : b + 1], sums[2, :width])
        _add_bent(here[a:b], above[a + 1 : b + 1], below[a - 1 : b - 1], sums[3, :width])
        if y & 1:
            for k in range(4):
                for x in range(width, sums.shape[1]):
                    sums[k, x] = sums[k, width - 1]
                for x in range(out.shape[2]):
                    out[k, y >> 1, x] = sums[k, 2 * x] + sums[k, 2 * x + 1]
            sums[:] = 0
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
    rows, columns = g.shape[1], g.shape[2]
    out = np.empty((rows // 2, columns // 2), np.int64)
    total = np.empty((4, columns + 2), np.int64)  # sums over four rows, with a column to either side
    for cy in range(out.shape[0]):
        for k in range(4):
            above, below = g[k, max(2 * cy - 1, 0)], g[k, min(2 * cy + 2, rows - 1)]
            for x in range(columns):
                total[k, x + 1] = np.int64(above[x]) + g[k, 2 * cy, x] + g[k, 2 * cy + 1, x] + below[x]
            total[k, 0], total[k, columns + 1] = total[k, 1], total[k, columns]
        for cx in range(out.shape[1]):
            a, b, c, d = (total[0], total[1], total[2], total[3])
            x = 2 * cx
            out[cy, cx] = _class(
                a[x] + a[x + 1] + a[x + 2] + a[x + 3], b[x] + b[x + 1] + b[x + 2] + b[x + 3],
                c[x] + c[x + 1] + c[x + 2] + c[x + 3], d[x] + d[x + 1] + d[x + 2] + d[x + 3],
            )  # fmt: skip
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
