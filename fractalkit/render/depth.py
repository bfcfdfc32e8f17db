"""The depth buffer of discs, compiled by Numba."""

from __future__ import annotations

import math

import numba as nb
import numpy as np

# mypy: disable-error-code="no-untyped-def, untyped-decorator"


@nb.njit(cache=True, nogil=True, inline="always")
def disc_box(x, y, r, h, w):
    """Rows and columns, half open, of the pixels of an h x w picture about a disc."""
    top, bottom = max(math.floor(y - r), 0), min(math.floor(y + r) + 1, h)
    return top, bottom, max(math.floor(x - r), 0), min(math.floor(x + r) + 1, w)


@nb.njit(cache=True, nogil=True)
def nearest(xy, depth, radius, front):
    """Lower ``front`` ``[H, W]`` to the depth of the nearest disc over each pixel; depths of 0 or less are behind."""
    h, w = front.shape
    for i in range(len(depth)):
        z = np.float32(depth[i])
        if not z > 0:
            continue
        x, y, r = xy[i, 0], xy[i, 1], radius[i]
        if not (x + r >= 0 and y + r >= 0 and x - r < w and y - r < h):
            continue
        c, s = math.floor(x), math.floor(y)
        if 0 <= c < w and 0 <= s < h and z < front[s, c]:
            front[s, c] = z
        r2 = r * r
        top, bottom, left, right = disc_box(x, y, r, h, w)
        for row in range(top, bottom):
            dy = row + 0.5 - y
            for col in range(left, right):
                dx = col + 0.5 - x
                if dx * dx + dy * dy < r2 and z < front[row, col]:
                    front[row, col] = z
