"""Compiled loops over the pixels of a picture made of copies."""

from __future__ import annotations

import numba as nb
import numpy as np

# mypy: disable-error-code="no-untyped-def, call-arg"


@nb.njit(cache=True, nogil=True)
def sweep(source, difference, out):
    """Solve x = difference + x(source), pixel by pixel: ``source`` ``[H, W]``, ``difference`` ``[H, W, C]``.

    ``out`` is ``[C, H, W]`` float32.
    """
    height, width, channels = difference.shape
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                s = source[y, x]
                copied = out[c, s // width, s % width] if s >= 0 else np.float32(0.0)
                out[c, y, x] = copied + np.float32(difference[y, x, c])


@nb.njit(cache=True, nogil=True)
def copies(source):
    """How many copies lead from each pixel back to one without a source: ``[H, W]`` int64."""
    height, width = source.shape
    out = np.zeros((height, width), np.int64)
    for y in range(height):
        for x in range(width):
            s = source[y, x]
            if s >= 0:
                out[y, x] = out[s // width, s % width] + 1
    return out
