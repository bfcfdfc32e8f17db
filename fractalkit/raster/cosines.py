"""Bases of cosines: at points, and as means over intervals."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fractalkit.raster.area import Floats, Ints


def cosines(count: int, t: Ints, q: int) -> Floats:
    """cos(pi k t / q), k = 0 … count-1: ``[E, count]``; the angle is reduced in integers."""
    turns = np.stack([(k * t) % (2 * q) for k in range(count)], axis=1)
    return np.cos(np.pi * (turns / q).astype(np.float64))


def cosine_means(count: int, start: Ints, stop: Ints, q: int) -> Floats:
    """Means of cos(pi k t) over [start / q, stop / q], k = 0 … count-1: ``[E, count]``.

    The mean of a cosine over an interval is its value in the middle times sinc(k width / 2).
    """
    width = ((stop - start) / q).astype(np.float64)
    return cosines(count, start + stop, 2 * q) * np.sinc(width[:, None] * np.arange(count) / 2)


@lru_cache(maxsize=64)
def block_cosines(side: int, scale: int = 1) -> np.ndarray:
    """The orthonormal cosines of a block, as means over ``scale`` parts of each sample: ``[side * scale, side]``.

    Column k is ``c_k cos(pi k (i + 1/2) / n)`` times sinc(k / 2n) / sinc(k / 2 side), n = side * scale, so that the
    mean over the parts of a sample is the value at scale 1.

    >>> a = block_cosines(4, 3)
    >>> bool(np.allclose(a.reshape(4, 3, 4).mean(1), block_cosines(4)))
    True
    """
    n = side * scale
    k = np.arange(side)
    a = np.cos(np.pi * k * (np.arange(n)[:, None] + 0.5) / n) * np.where(k == 0, 1.0, np.sqrt(2.0)) / np.sqrt(side)
    return np.asarray(a * np.sinc(k / (2 * n)) / np.sinc(k / (2 * side)))


@lru_cache(maxsize=16)
def slope_cosines(scale: int = 1) -> np.ndarray:
    """The first non-constant cosine of a block of each size, ``[7, 64 * scale]`` float64, row log2 side."""
    out = np.zeros((7, 64 * scale))
    for log in range(2, 7):
        out[log, : scale << log] = block_cosines(1 << log, scale)[:, 1]
    return out
