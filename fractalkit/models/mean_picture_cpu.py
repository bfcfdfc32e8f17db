"""The last step of a collage fused with the network at each point, compiled for CPUs by Numba, without the GIL.

Along a row of one range, a channel is a sum of quadratic polynomials in the place t (the splines) times cosines (the
patches), plus a quadratic contrast times the coarser picture. Point x of range j shows column u of the coarser picture,
mirrored where j is odd. Points are computed in blocks in the order of u, for which all ranges share the same tables:
first the channels, then the network, without leaving the cache. Only the means are written, backwards in mirrored
ranges.

The plain twin is :func:`fractalkit.models.mean_picture.rows` with ``engine="torch"``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from fractalkit.rows import copy_row

# mypy: disable-error-code="no-untyped-def, untyped-decorator"

Array = NDArray[np.float32]
BLOCK = 256  # points at a time: 16 channels of them are 16 KiB
LANES = 8  # channels a pass of the network takes


@nb.njit(cache=True, nogil=True)
def _quadratic(before, at, after, mirrored):
    """The quadratic B-spline of three numbers as a + b t + c t^2, t from -1/2 to 1/2."""
    eighth, half, most = np.float32(0.125), np.float32(0.5), np.float32(0.75)
    both = before + after
    return eighth * both + most * at, mirrored * half * (after - before), half * both - at


@nb.njit(cache=True, fastmath={"contract"}, nogil=True)
def _channels(q, w, row, source, t, cosines, first, n, mirrored, f):
    """Channels of the points u = first … first + n - 1: ``f [C, >= n]``.

    q ``[C, 3, K]``: numbers of the ranges before, at and after, times cosines, already combined along y; w ``[C, 3]``;
    row of source ``[C, rows, U]``; t ``[U]`` from -1/2 to 1/2; cosines ``[K, U]``, K a multiple of 4, the first of
    them 1; mirrored: the sign of t, -1 where u runs against x.
    """
    for c in range(q.shape[0]):
        k = q[c]
        wa, wb, wc = _quadratic(w[c, 0], w[c, 1], w[c, 2], mirrored)
        a0, b0, c0 = _quadratic(k[0, 0], k[1, 0], k[2, 0], mirrored)
        a1, b1, c1 = _quadratic(k[0, 1], k[1, 1], k[2, 1], mirrored)
        a2, b2, c2 = _quadratic(k[0, 2], k[1, 2], k[2, 2], mirrored)
        a3, b3, c3 = _quadratic(k[0, 3], k[1, 3], k[2, 3], mirrored)
        src = source[c, row, first : first + n]
        tt = t[first : first + n]
        x1, x2, x3 = cosines[1, first : first + n], cosines[2, first : first + n], cosines[3, first : first + n]
        out = f[c, :n]
        for u in range(n):
            s = tt[u]
            v = a0 + s * (b0 + s * c0) + x1[u] * (a1 + s * (b1 + s * c1))
            v += x2[u] * (a2 + s * (b2 + s * c2)) + x3[u] * (a3 + s * (b3 + s * c3))
            out[u] = v + (wa + s * (wb + s * wc)) * src[u]
        for l in range(4, q.shape[2]):
            a0, b0, c0 = _quadratic(k[0, l], k[1, l], k[2, l], mirrored)
            x1 = cosines[l, first : first + n]
            for u in range(n):
                s = tt[u]
                out[u] += x1[u] * (a0 + s * (b0 + s * c0))


@nb.njit(cache=True, fastmath={"contract"}, nogil=True, inline="always", error_model="numpy")
def _half_tanh(v):
    """tanh(v / 2) within 3e-7: a quotient of polynomials of degree 9 and 8, fitted for the least relative error."""
    v = min(max(v, np.float32(-18.0)), np.float32(18.0))
    z = np.float32(0.25) * v * v
    p = np.float32(1.3354488232026276e-08)
    p = p * z + np.float32(2.0608954048646725e-05)
    p = p * z + np.float32(0.003495580291366065)
    p = p * z + np.float32(0.13381019060620522)
    p = p * z + np.float32(0.9999999794667347)
    q = np.float32(7.776486281776734e-07)
    q = q * z + np.float32(0.0003285622011104748)
    q = q * z + np.float32(0.025876952430286784)
    q = q * z + np.float32(0.46714334657026496)
    q = q * z + np.float32(1.0)
    return np.float32(0.5) * v * p / q


# error_model: a division that could raise is not vectorised
@nb.njit(cache=True, fastmath={"contract"}, nogil=True, error_model="numpy")
def _network(f, n, w1, b1, w2, b2, hidden, out):
    """sigmoid(b2 + w2 silu(b1 + w1 f)) of n points: f ``[C, >= n]``, C a multiple of 8, to ``out [O, >= n]``."""
    for o in range(out.shape[0]):
        for u in range(n):
            out[o, u] = b2[o]
    acc = hidden[:n]
    last = f.shape[0] - LANES
    for h in range(w1.shape[0]):
        start = b1[h]
        for c in range(0, last + 1, LANES):
            f0, f1, f2, f3 = f[c, :n], f[c + 1, :n], f[c + 2, :n], f[c + 3, :n]
            f4, f5, f6, f7 = f[c + 4, :n], f[c + 5, :n], f[c + 6, :n], f[c + 7, :n]
            k0, k1, k2, k3 = w1[h, c], w1[h, c + 1], w1[h, c + 2], w1[h, c + 3]
            k4, k5, k6, k7 = w1[h, c + 4], w1[h, c + 5], w1[h, c + 6], w1[h, c + 7]
            if c == 0:
                for u in range(n):
                    lower = start + k0 * f0[u] + k1 * f1[u] + k2 * f2[u] + k3 * f3[u]
                    acc[u] = lower + (k4 * f4[u] + k5 * f5[u] + k6 * f6[u] + k7 * f7[u])
            else:
                for u in range(n):
                    lower = acc[u] + k0 * f0[u] + k1 * f1[u] + k2 * f2[u] + k3 * f3[u]
                    acc[u] = lower + (k4 * f4[u] + k5 * f5[u] + k6 * f6[u] + k7 * f7[u])
        if out.shape[0] == 1:
            k = np.float32(0.5) * w2[0, h]
            only = out[0, :n]
            for u in range(n):
                only[u] += k * acc[u] * (np.float32(1.0) + _half_tanh(acc[u]))
        else:
            for u in range(n):
                acc[u] = np.float32(0.5) * acc[u] * (np.float32(1.0) + _half_tanh(acc[u]))
            for o in range(out.shape[0]):
                for u in range(n):
                    out[o, u] += w2[o, h] * acc[u]
    for o in range(out.shape[0]):
        for u in range(n):
            out[o, u] = np.float32(0.5) + np.float32(0.5) * _half_tanh(out[o, u])


@nb.njit(cache=True, nogil=True)
def _put(values, n, x, step, out):
    """Values of n points in the order of u to columns x, x + step … of ``out``."""
    if step > 0:
        copy_row(values, out[x : x + n])
    else:
        for u in range(n):
            out[x - u] = values[u]


@nb.njit(cache=True, nogil=True)
def _gather(q, w, r, segment, near, near_w):
    """Numbers of the ranges before, at and after one, those at the border repeated."""
    last = q.shape[2] - 1
    j = segment[0]
    for c in range(q.shape[1]):
        for s in range(3):
            g = min(max(j - 1 + s, 0), last)
            near_w[c, s] = w[r, c, g]
            copy_row(q[r, c, g], near[c, s])


@nb.njit(cache=True, nogil=True)
def fill_means(q, w, reads, source, t, cosines, segments, w1, b1, w2, b2, out):
    """The network's means of whole rows: ``out [O, R, X]``.

    Args:
        q, w: ``[R, C, G, K]``, ``[R, C, G]``, the numbers of each range along x for each row.
        reads: ``[R]`` row of the source for each row.
        source: ``[C, rows, U]`` the coarser picture.
        t, cosines: ``[U]``, ``[K, U]``.
        segments: ``[S, 5]`` for each range: its index, first u, count, the x of the first u, +1 or -1.
        w1, b1, w2, b2: of the two layers, padded as :class:`Network` has them.
    """
    f = np.zeros((w1.shape[1], BLOCK), np.float32)
    near = np.empty((q.shape[1], 3, q.shape[3]), np.float32)
    near_w = np.empty((q.shape[1], 3), np.float32)
    hidden = np.empty(BLOCK, np.float32)
    means = np.empty((out.shape[0], BLOCK), np.float32)
    for r in range(out.shape[1]):
        for s in range(segments.shape[0]):
            _gather(q, w, r, segments[s], near, near_w)
            step = segments[s, 4]
            for start in range(0, segments[s, 2], BLOCK):
                n = min(BLOCK, segments[s, 2] - start)
                first = segments[s, 1] + start
                _channels(near, near_w, reads[r], source, t, cosines, first, n, np.float32(step), f)
                _network(f, n, w1, b1, w2, b2, hidden, means)
                x = segments[s, 3] + step * start
                for o in range(out.shape[0]):
                    _put(means[o], n, x, step, out[o, r])


@dataclass(frozen=True, eq=False)
class Network:
    """The two layers at each point, padded for the kernel."""

    w1: Array
    b1: Array
    w2: Array
    b2: Array

    @staticmethod
    def of(w1: Array, b1: Array, w2: Array, b2: Array) -> Network:
        """``[H, C]``, ``[H]``, ``[O, H]``, ``[O]``."""
        padded = np.zeros((w1.shape[0], -(-w1.shape[1] // LANES) * LANES), np.float32)
        padded[:, : w1.shape[1]] = w1
        return Network(padded, *(np.ascontiguousarray(a, dtype=np.float32) for a in (b1, w2, b2)))
