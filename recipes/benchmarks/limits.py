"""Limits of a chaos game on a CPU: its random numbers alone, and its scattered increments alone."""

from __future__ import annotations

import numba as nb
import numpy as np

from fractalkit.orbit.streams import CHAINS, MIX1, MIX2, STRIDE

# mypy: disable-error-code="no-untyped-def"

LANES = 64
_M1, _M2, _STRIDE = np.uint32(MIX1), np.uint32(MIX2), np.uint32(STRIDE)
_S15, _S16 = np.uint32(15), np.uint32(16)


@nb.njit(cache=True)
def random_words(rows):
    """Evaluate the random hash of the engines ``rows`` times on every chain, and return the sum."""
    total = np.zeros(LANES, np.uint32)
    for block in range(CHAINS // LANES):
        for r in range(rows):
            t = np.uint32(np.uint32(r) * _STRIDE)
            for lane in range(LANES):
                u = np.uint32(np.uint32(block * LANES + lane) + t)
                u = np.uint32((u ^ (u >> _S16)) * _M1)
                u = np.uint32((u ^ (u >> _S15)) + np.uint32(lane))
                u = np.uint32(u * _M2)
                total[lane] += np.uint32(u ^ (u >> _S15))
    return total.sum()


@nb.njit(cache=True)
def increments(places, cells, n):
    """Count ``places [M]`` int32 repeatedly, n in total, into ``[cells]`` uint32.

    >>> increments(np.array([1, 1, 2], np.int32), 4, 6)
    array([0, 4, 2, 0], dtype=uint32)
    """
    counts = np.zeros(cells, np.uint32)
    done = 0
    while done < n:
        for i in range(min(len(places), n - done)):
            counts[places[i]] += np.uint32(1)
        done += len(places)
    return counts


@nb.njit(cache=True)
def fill(out):
    """Write each number of ``out [N, 3]`` once, in order.

    >>> fill(np.empty((2, 3), np.float32)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    for i in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[i, c] = 1
    return out
