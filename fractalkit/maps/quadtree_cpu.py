"""Fast loops over the leaves of a quadtree plane: the map's step, its lift to a finer grid, and the deblocking."""

from __future__ import annotations

import numba as nb
import numpy as np

# mypy: disable-error-code="no-untyped-def, call-arg"


@nb.njit(cache=True, nogil=True)
def pooled(x, y0, x0, side, iso, out):
    """The domain of ``2 side`` at (y0, x0), averaged 2 x 2 and turned: ``out`` ``[side, side]``."""
    for i in range(side):
        for j in range(side):
            p, q = (j, i) if iso & 4 else (i, j)
            if iso & 1:
                p = side - 1 - p
            if iso & 2:
                q = side - 1 - q
            a, b = y0 + 2 * p, x0 + 2 * q
            out[i, j] = 0.25 * (x[a, b] + x[a, b + 1] + x[a + 1, b] + x[a + 1, b + 1])


@nb.njit(cache=True, nogil=True)
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
def step(x, explicit, leaves, contrast, waves, slopes, out):
    """One application of the map, leaf by leaf; ``out`` may be ``x``, then each leaf sees those before it.

    ``leaves`` ``[n, 6]``: row, column, log2 side, isometry, row and column of the domain. ``slopes``: 1 to leave out
    the slopes as well as the mean, 0 the mean only. Returns the largest change.
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
    """Onto a grid twice as fine: ``out`` = explicit + s Q(x) with x the fixed point at ``scale`` samples a sample.

    Nothing is averaged but for the mean and slopes to be left out, which are those of the block at scale 1.
    """
    small = np.empty((64, 64), np.float32)
    for n in range(len(leaves)):
        y, c, log, iso, yd, xd = leaves[n]
        side = 1 << log
        k = 2 * scale
        for i in range(side):
            for j in range(side):
                p, q = (j, i) if iso & 4 else (i, j)
                if iso & 1:
                    p = side - 1 - p
                if iso & 2:
                    q = side - 1 - q
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
                p, q = (j, i) if iso & 4 else (i, j)
                if iso & 1:
                    p = big - 1 - p
                if iso & 2:
                    q = big - 1 - q
                v = x[yd * scale + p, xd * scale + q] - low - across * fine[log, j] * root
                out[y * k + i, c * k + j] = explicit[y * k + i, c * k + j] + s * v


@nb.njit(cache=True, nogil=True)
def weights(v, leaves, contrast, waves, slopes, out):
    """The map's matrix with absolute entries, applied to a field v >= 0, constants left out: for the proof.

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
    """Smooth the steps between leaves, in place: what the slopes beside a border do not explain, up to ``limit``.

    Down the columns of the picture first, then along its rows; the reach is half the smaller leaf, at most ``most``
    samples of scale 1. ``row`` and ``column`` are those of the plane's cell that ``logs`` begins with.
    """
    rows, columns = logs.shape
    h, w = height * scale, width * scale
    for turn in range(2):
        across = turn == 0
        n_lines = h if across else w
        n_cells = columns if across else rows
        for line in range(n_lines):
            cell = line // (4 * scale)
            for k in range(1, n_cells):
                here = logs[cell, k] if across else logs[k, cell]
                before = logs[cell, k - 1] if across else logs[k - 1, cell]
                if here == 0 or before == 0:
                    continue
                if (k + (column if across else row)) & ((1 << (here - 2)) - 1):
                    continue
                at = 4 * k * scale
                end = w if across else h
                reach = int(min(np.float64(1 << (min(here, before) - 1)), most) * scale)
                if reach < 1 or at + max(reach, 2) > end or at < max(reach, 2):
                    continue
                if across:
                    p0, p1, q0, q1 = x[line, at - 1], x[line, at - 2], x[line, at], x[line, at + 1]
                else:
                    p0, p1, q0, q1 = x[at - 1, line], x[at - 2, line], x[at, line], x[at + 1, line]
                jump = (q0 - p0) - 0.5 * ((p0 - p1) + (q1 - q0))
                if abs(jump) >= 2 * limit:
                    continue
                if abs(jump) > limit:
                    jump = (2 * limit - abs(jump)) * (1.0 if jump > 0 else -1.0)
                for i in range(reach):
                    t = 0.5 * jump * (1.0 - (i + 0.5) / reach)
                    if across:
                        x[line, at - 1 - i] += t
                        x[line, at + i] -= t
                    else:
                        x[at - 1 - i, line] += t
                        x[at + i, line] -= t
