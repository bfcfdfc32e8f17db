"""Compiled loops of the flame's tone map; the tests have a plain numpy version to compare them with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numba as nb
import numpy as np

# mypy: disable-error-code="no-untyped-def"

_BAND = 32  # rows that one task sums, so that sums do not depend on the number of threads


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Limit the number of threads of the loops; None for all."""
    before = nb.get_num_threads()
    nb.set_num_threads(max(1, min(threads or before, nb.config.NUMBA_NUM_THREADS)))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        nb.set_num_threads(before)


@nb.njit(cache=True, parallel=True, nogil=True)
def log_density(b, k1, k2, glow, scale, gains, out):
    """A = 255 B k1 ln(1 + k2 n) / n with n = 255 B_3, cell by cell: ``[H, W, 4]``, B's colours in [0, 1].

    JWildfire's glow adds glow / (1 + scale n / 255) to k1 ln(1 + k2 n); ``gains`` are factors of the four channels.
    """
    for i in nb.prange(b.shape[0]):
        for j in range(b.shape[1]):
            n = 255.0 * b[i, j, 3]
            if n > 0:
                f = 255.0 * k1 * np.log1p(k2 * n) / n
                if glow != 0.0:
                    f += 255.0 * glow / (1.0 + scale * n / 255.0) / n
                for c in range(4):
                    out[i, j, c] = b[i, j, c] * (f * gains[c])
            else:
                for c in range(4):
                    out[i, j, c] = 0


@nb.njit(cache=True, nogil=True)
def _index(b, i, j, side, shrink, curve, last):
    """Index of a cell's kernel, by its hits, or by those of its neighbourhood if cells are smaller than pixels."""
    if side == 0:
        n = float(b[i, j, 3])
    else:
        n = 0.0
        for y in range(i - side, i + side + 1):
            for x in range(j - side, j + side + 1):
                n += b[y, x, 3]
        n *= shrink
    if n <= 100:
        k = int(np.ceil(n)) - 1
    else:
        k = 100 + int(np.floor((n - 100.0) ** curve))
    return min(max(k, 0), last)


@nb.njit(cache=True, parallel=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def estimate(b, log, start, reach, weights, last, curve, side, shrink, out):
    """Spread each cell of ``log`` over its kernel, and add to ``out``."""
    h, w = b.shape[0], b.shape[1]
    most = reach[0]
    bands = (h + _BAND - 1) // _BAND
    # choose the kernels first, so that each neighbourhood is summed only once
    which = np.empty((h, w), np.int32)
    for i in nb.prange(h):
        for j in range(w):
            inside = side <= i < h - side and side <= j < w - side
            if inside and b[i, j, 3] > 0:
                which[i, j] = _index(b, i, j, side, shrink, curve, last)
            else:
                which[i, j] = -1
    for band in nb.prange(bands):
        top, bottom = band * _BAND, min((band + 1) * _BAND, h)
        for i in range(max(top - most, 0), min(bottom + most, h)):
            for j in range(w):
                k = which[i, j]
                if k < 0:
                    continue
                r = reach[k]
                y0, y1 = max(i - r, top), min(i + r + 1, bottom)
                if y0 >= y1:
                    continue
                x0, x1 = max(j - r, 0), min(j + r + 1, w)
                a0, a1, a2, a3 = log[i, j, 0], log[i, j, 1], log[i, j, 2], log[i, j, 3]
                for y in range(y0, y1):
                    row = start[k] + (y - i + r) * (2 * r + 1) + r - j
                    for x in range(x0, x1):
                        f = weights[row + x]
                        out[y, x, 0] += f * a0
                        out[y, x, 1] += f * a1
                        out[y, x, 2] += f * a2
                        out[y, x, 3] += f * a3


@nb.njit(cache=True, parallel=True, nogil=True)
def shrink(a, weights, first, step, out):
    """Filter and downsample: out[i, j] = Σ w_y w_x a[first + i step + y, first + j step + x]."""
    n = len(weights)
    for i in nb.prange(out.shape[0]):
        line = np.empty((a.shape[1], 4), np.float32)
        for x in range(a.shape[1]):
            for c in range(4):
                line[x, c] = 0
        for y in range(n):
            f = weights[y]
            for x in range(a.shape[1]):
                for c in range(4):
                    line[x, c] += f * a[first + i * step + y, x, c]
        for j in range(out.shape[1]):
            for c in range(4):
                s = np.float32(0)
                for x in range(n):
                    s += weights[x] * line[first + j * step + x, c]
                out[i, j, c] = s


@nb.njit(cache=True, nogil=True)
def _saturate(r, g, b, factor):
    """Multiply the HSV saturation by ``factor``: all channels move towards the largest one."""
    top = max(r, g, b)
    return top - (top - r) * factor, top - (top - g) * factor, top - (top - b) * factor


@nb.njit(cache=True, parallel=True, nogil=True)
def colour(t, g, threshold, vibrancy, power, background, cover, transparent, out):
    """Log densities to colours in 0 … 255 and alpha: ``[H, W, 4]``."""
    for i in nb.prange(t.shape[0]):
        rgb = np.empty(3)
        for j in range(t.shape[1]):
            d = t[i, j, 3] / 255.0
            alpha = 0.0
            ls = 0.0
            if d > 0:
                full = d**g
                if d < threshold:
                    f = d / threshold
                    full = (1.0 - f) * d * threshold ** (g - 1.0) + f * full
                ls = 256.0 * vibrancy * full / d
                alpha = min(max(full, 0.0), 1.0)
            top = 0.0
            for c in range(3):
                rgb[c] = ls * t[i, j, c] / 255.0
                top = max(top, rgb[c])
            if top > 255.0 and ls > 0:
                down = 255.0 / top
                if power >= 0:
                    ratio = down**power
                    r, gr, bl = _saturate(rgb[0] * down, rgb[1] * down, rgb[2] * down, ratio)
                    rgb[0], rgb[1], rgb[2] = r, gr, bl
                else:
                    plain = min(-power, 1.0)
                    for c in range(3):
                        rgb[c] *= (1.0 - plain) * down + plain
            for c in range(3):
                v = rgb[c]
                if vibrancy != 1.0:
                    v += (1.0 - vibrancy) * 256.0 * max(t[i, j, c] / 255.0, 0.0) ** g
                if transparent:
                    v = v / alpha if alpha > 0 else 0.0
                else:
                    v += max(1.0 - alpha * cover, 0.0) * 256.0 * background[c]
                out[i, j, c] = min(max(v, 0.0), 255.0)
            out[i, j, 3] = 255.0 * alpha
