"""Compiled loops over the leaves of a quadtree plane: the map's step, its lift to a finer grid, and deblocking."""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.compiled import inner

# mypy: disable-error-code="no-untyped-def, call-arg"


@inner()
def _turned(i, j, side, iso):
    """Place (i, j) of a block after an isometry: 4 transposes, then 1 flips rows and 2 columns."""
    p, q = (j, i) if iso & 4 else (i, j)
    if iso & 1:
        p = side - 1 - p
    if iso & 2:
        q = side - 1 - q
    return p, q


@inner()
def pooled(x, y0, x0, side, iso, out):
    """The domain of ``2 side`` at (y0, x0), averaged 2 x 2 and turned: ``out`` ``[side, side]``."""
    for i in range(side):
        for j in range(side):
            p, q = _turned(i, j, side, iso)
            a, b = y0 + 2 * p, x0 + 2 * q
            out[i, j] = 0.25 * (x[a, b] + x[a, b + 1] + x[a + 1, b] + x[a + 1, b + 1])


@inner()
def lowest(d, side, wave):
    """Mean, and the two slopes (the cosines (1, 0) and (0, 1)), of a block: inner products with the unit vectors."""
    mean = down = across = 0.0
    for i in range(side):
        for j in range(side):
            v = np.float64(d[i, j])
            mean += v
            down += v * wave[i]
            across += v * wave[j]
    root = 1.0 / np.sqrt(np.float64(side))
    return mean / (side * side), down * root, across * root


@nb.njit(cache=True, nogil=True)
def dequantise(level, first, shrink, step, out):
    """Cosines in sample values, float32, of levels ``[H, W]``.

    ``first`` ``[H/4, W/4]`` tells where leaves begin, whose means are as they are. ``shrink`` ``[4]`` is how far
    magnitudes 0, 1, 2 and more lie below their levels.
    """
    for y in range(level.shape[0]):
        for x in range(level.shape[1]):
            q = level[y, x]
            if q == 0:
                out[y, x] = np.float32(0.0)
                continue
            v = np.float32(abs(q))
            v = max(v - shrink[min(abs(q), 3)], np.float32(0.0))
            out[y, x] = (v if q > 0 else -v) * step
    for cy in range(first.shape[0]):
        for cx in range(first.shape[1]):
            if first[cy, cx]:
                out[4 * cy, 4 * cx] = np.float32(level[4 * cy, 4 * cx]) * step


@nb.njit(cache=True, nogil=True)
def step(x, explicit, leaves, contrast, waves, slopes, out):
    """Apply the map leaf by leaf, and return the largest change.

    If ``out`` is ``x``, each leaf reads the new values of those before it. ``leaves`` ``[n, 6]`` are row, column, log2
    of the side, isometry, and row and column of the domain. ``slopes`` is 1 to remove slopes too, else 0.
    """
    change = 0.0
    d = np.empty((64, 64), np.float32)
    for n in range(len(leaves)):
        y, c, log, iso, yd, xd = leaves[n]
        side = 1 << log
        wave = waves[log]
        pooled(x, yd, xd, side, iso, d)
        mean, down, across = lowest(d, side, wave)
        root = slopes / np.sqrt(np.float64(side))
        s = contrast[n]
        for i in range(side):
            low = mean + down * wave[i] * root
            for j in range(side):
                v = np.float32(explicit[y + i, c + j] + s * (d[i, j] - low - across * wave[j] * root))
                change = max(change, abs(np.float64(v) - x[y + i, c + j]))
                out[y + i, c + j] = v
    return change


@nb.njit(cache=True, nogil=True)
def lift(x, explicit, leaves, contrast, waves, slopes, fine, scale, out):
    """Lift to a grid twice as fine: ``out`` = explicit + s Q(x), x being the fixed point at ``scale``.

    Values are averaged only for the mean and the slopes that Q removes, which are those of the block at scale 1.
    """
    small = np.empty((64, 64), np.float32)
    for n in range(len(leaves)):
        y, c, log, iso, yd, xd = leaves[n]
        side = 1 << log
        k = 2 * scale
        for i in range(side):
            for j in range(side):
                p, q = _turned(i, j, side, iso)
                total = 0.0
                for u in range(k):
                    for v in range(k):
                        total += x[yd * scale + p * k + u, xd * scale + q * k + v]
                small[i, j] = total / (k * k)
        mean, down, across = lowest(small, side, waves[log])
        root = slopes / np.sqrt(np.float64(side))
        s = contrast[n]
        big = side * k
        for i in range(big):
            low = mean + down * fine[log, i] * root
            for j in range(big):
                p, q = _turned(i, j, big, iso)
                v = x[yd * scale + p, xd * scale + q] - low - across * fine[log, j] * root
                out[y * k + i, c * k + j] = explicit[y * k + i, c * k + j] + s * v


@nb.njit(cache=True, nogil=True)
def gather(v, leaves, out):
    """The domains of leaves of one side, averaged 2 x 2 and turned: ``out`` ``[n, side, side]``."""
    for n in range(len(leaves)):
        _, _, log, iso, yd, xd = leaves[n]
        pooled(v, yd, xd, 1 << log, iso, out[n])


@nb.njit(cache=True, nogil=True)
def weights(v, leaves, contrast, waves, slopes, out):
    """Apply the map's matrix with absolute entries to a field v >= 0, for the proof of contraction.

    Row (i, j) of Q is delta - (1 + side (wave_i wave_k + wave_j wave_l)) / side^2.
    """
    d = np.empty((64, 64), np.float64)
    for n in range(len(leaves)):
        y, c, log, iso, yd, xd = leaves[n]
        side = 1 << log
        wave = waves[log]
        pooled(v, yd, xd, side, iso, d)
        s = abs(contrast[n])
        for i in range(side):
            for j in range(side):
                total = 0.0
                for k in range(side):
                    a = 1.0 + slopes * side * wave[i] * wave[k]
                    for m in range(side):
                        w = -(a + slopes * side * wave[j] * wave[m]) / (side * side)
                        if k == i and m == j:
                            w += 1.0
                        total += abs(w) * d[k, m]
                out[y + i, c + j] = s * total


@nb.njit(cache=True, nogil=True)
def deblock(x, logs, scale, limit, most, height, width, row, column):
    """Smooth the steps between leaves, in place, where they exceed what the slopes explain by at most ``limit``.

    First along rows, then along columns, over half the smaller leaf and at most ``most`` samples of scale 1. ``row``
    and ``column`` are the position in the plane of the first cell of ``logs``.
    """
    _deblock_rows(x, logs, scale, limit, most, height * scale, width * scale, column)
    _deblock_rows(x.T, logs.T, scale, limit, most, width * scale, height * scale, row)


@inner("void(float32[:, :], uint8[:, :], int64, float64, float64, int64, int64, int64)")
def _deblock_rows(x, logs, scale, limit, most, height, width, column):
    """Smooth the steps along the rows of a picture of height x width values."""
    for line in range(height):
        cell = line // (4 * scale)
        for k in range(1, logs.shape[1]):
            here, before = logs[cell, k], logs[cell, k - 1]
            if here == 0 or before == 0 or (k + column) & ((1 << (here - 2)) - 1):
                continue
            at = 4 * k * scale
            reach = int(min(np.float64(1 << (min(here, before) - 1)), most) * scale)
            if reach < 1 or at + max(reach, 2) > width or at < max(reach, 2):
                continue
            p0, p1, q0, q1 = x[line, at - 1], x[line, at - 2], x[line, at], x[line, at + 1]
            jump = (q0 - p0) - 0.5 * ((p0 - p1) + (q1 - q0))
            if abs(jump) >= 2 * limit:
                continue
            if abs(jump) > limit:
                jump = (2 * limit - abs(jump)) * (1.0 if jump > 0 else -1.0)
            for i in range(reach):
                t = 0.5 * jump * (1.0 - (i + 0.5) / reach)
                x[line, at - 1 - i] += t
                x[line, at + i] -= t


@nb.njit(cache=True, nogil=True)
def before(order, leaves):
    """Which blocks of copies ``[n, 5]`` lie, in whole, in cells before the leaf that copies them: ``[n]`` bool.

    ``order`` ``[H/4, W/4]`` is the place of each cell, -1 beyond the picture.
    """
    height, width = 4 * order.shape[0], 4 * order.shape[1]
    out = np.zeros(len(leaves), np.bool_)
    for n in range(len(leaves)):
        y, x, log, yd, xd = leaves[n]
        side = 1 << log
        if yd < 0 or xd < 0 or yd + side > height or xd + side > width:
            continue
        own = order[y >> 2, x >> 2]
        good = True
        for i in range(yd >> 2, ((yd + side - 1) >> 2) + 1):
            for j in range(xd >> 2, ((xd + side - 1) >> 2) + 1):
                if order[i, j] < 0 or order[i, j] >= own:
                    good = False
        out[n] = good
    return out


@nb.njit(cache=True, nogil=True)
def copy(x, explicit, leaves, waves, fine, slopes, scale, out):
    """Apply the map of a plane with copies, leaf by leaf: ``out`` = explicit + Q x(D), at any scale.

    If ``out`` is ``x``, each leaf reads the new values of those before it, which solves the map. As in :func:`lift`,
    mean and slopes are those of the block at scale 1.
    """
    small = np.empty((64, 64), np.float32)
    for n in range(len(leaves)):
        y, c, log, yd, xd = leaves[n]
        side = 1 << log
        k = scale
        for i in range(side):
            for j in range(side):
                total = 0.0
                for u in range(k):
                    for v in range(k):
                        total += x[yd * k + i * k + u, xd * k + j * k + v]
                small[i, j] = total / (k * k)
        mean, down, across = lowest(small, side, waves[log])
        root = slopes / np.sqrt(np.float64(side))
        for i in range(side * k):
            low = mean + down * fine[log, i] * root
            for j in range(side * k):
                v = x[yd * k + i, xd * k + j] - low - across * fine[log, j] * root
                out[y * k + i, c * k + j] = explicit[y * k + i, c * k + j] + v
