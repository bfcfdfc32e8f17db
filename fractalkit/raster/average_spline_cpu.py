"""Compiled loops of :mod:`fractalkit.raster.average_spline`."""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.raster.average_spline import KERNEL, REACH
from fractalkit.rows import copy_row

# mypy: disable-error-code="no-untyped-def"
_KERNEL = KERNEL.astype(np.float32)


@nb.njit(cache=True, nogil=True)
def _mirror(i, n):
    i %= 2 * n
    return min(i, 2 * n - 1 - i)


@nb.njit(cache=True, nogil=True)
def refine(x, out):
    """``[H, W]`` float32 to ``[2H, 2W]``; see :func:`fractalkit.raster.average_spline.refine`."""
    height, width = x.shape
    row = np.empty(width + 2 * REACH, np.float32)
    d = np.empty(2 * width, np.float32)
    across = np.empty((height, 2 * width), np.float32)
    for i in range(height):
        for j in range(REACH):
            row[j] = x[i, _mirror(j - REACH, width)]
            row[width + REACH + j] = x[i, _mirror(width + j, width)]
        copy_row(x[i], row[REACH : REACH + width])
        d[:width] = 0
        for u in range(1, REACH + 1):
            k = _KERNEL[u - 1]
            for j in range(width):
                d[j] += k * (row[REACH + j - u] - row[REACH + j + u])
        for j in range(width):
            across[i, 2 * j] = x[i, j] + d[j]
            across[i, 2 * j + 1] = x[i, j] - d[j]
    for i in range(height):
        d[:] = 0
        for u in range(1, REACH + 1):
            k = _KERNEL[u - 1]
            above, below = across[_mirror(i - u, height)], across[_mirror(i + u, height)]
            for j in range(2 * width):
                d[j] += k * (above[j] - below[j])
        for j in range(2 * width):
            out[2 * i, j] = across[i, j] + d[j]
            out[2 * i + 1, j] = across[i, j] - d[j]
