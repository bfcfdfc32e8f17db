"""Compiled loops of colour conversion and of chroma at half the resolution; the same numbers as NumPy gives."""

from __future__ import annotations

import numba as nb
import numpy as np

# mypy: disable-error-code="no-untyped-def, call-arg"

_NEAR, _FAR = np.float32(22 / 128), np.float32(3 / 128)
_R, _G, _B, _W = np.float32(1.402), np.float32(0.344136286), np.float32(1.772), np.float32(0.714136286)


@nb.njit(cache=True, nogil=True)
def double_rows(x, out):
    """Each row of ``x`` ``[h, w]`` float32 as two of ``out`` ``[<= 2 h, w]``, of the same mean."""
    h, w = x.shape
    for i in range(h):
        a, b = x[max(i - 2, 0)], x[max(i - 1, 0)]
        c, d = x[min(i + 1, h - 1)], x[min(i + 2, h - 1)]
        for k in range(2):
            if 2 * i + k >= len(out):
                break
            to = out[2 * i + k]
            for j in range(w):
                slope = (c[j] - b[j]) * _NEAR - (d[j] - a[j]) * _FAR
                to[j] = x[i, j] + slope if k else x[i, j] - slope


@nb.njit(cache=True, nogil=True)
def double_columns(x, out):
    """Each column of ``x`` ``[h, w]`` float32 as two of ``out`` ``[h, <= 2 w]``, of the same mean."""
    h, w = x.shape
    line = np.empty(w + 4, np.float32)
    for i in range(h):
        line[2 : w + 2] = x[i]
        line[0] = line[1] = x[i, 0]
        line[w + 2] = line[w + 3] = x[i, w - 1]
        for j in range(out.shape[1] >> 1):
            slope = (line[j + 3] - line[j + 1]) * _NEAR - (line[j + 4] - line[j]) * _FAR
            out[i, 2 * j] = line[j + 2] - slope
            out[i, 2 * j + 1] = line[j + 2] + slope
        if out.shape[1] & 1:
            j = out.shape[1] >> 1
            slope = (line[j + 3] - line[j + 1]) * _NEAR - (line[j + 4] - line[j]) * _FAR
            out[i, 2 * j] = line[j + 2] - slope


@nb.njit(cache=True, nogil=True)
def rgb(y, cb, cr, middle, top, out):
    """Y, Cb, Cr ``[H, W]`` float32 to the first three channels of ``out`` ``[H, W, C]``."""
    low = np.float32(0.0)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            v, b, r = y[i, j] + middle, cb[i, j], cr[i, j]
            out[i, j, 0] = np.int32(min(max(np.rint(v + _R * r), low), top))
            out[i, j, 1] = np.int32(min(max(np.rint(v - _G * b - _W * r), low), top))
            out[i, j, 2] = np.int32(min(max(np.rint(v + _B * b), low), top))
