"""One axis of a collage: where its points fall in ranges and domains, and the values of splines and cosines there.

Coordinates are exact. A point of the unit interval is p / q with integers p (a NumPy array, of Python's own integers
where 64 bits do not suffice) and q, so that the G-fold map can be applied hundreds of times, and at 10^9 pixels a side,
without rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from fractalkit.raster.area import Constants, Floats, Ints
from fractalkit.raster.cosines import cosine_means, cosines


def fold(ranges: int, p: Ints, q: int, mirror: bool) -> tuple[Ints, Ints]:
    """Range index, and coordinate t (over q) within it, of the points p / q; odd ranges mirrored where ``mirror``.

    >>> fold(3, np.array([1, 3, 5, 7, 9, 11]), 12, True)[1].tolist()
    [3, 9, 9, 3, 3, 9]
    """
    i = np.minimum(ranges * p // q, ranges - 1)
    t = ranges * p - i * q
    return i, np.where(i % 2 == 1, q - t, t) if mirror else t


def spline(ranges: int, p: Ints, q: int) -> Floats:
    """Quadratic B-splines on the range centres at the points p / q, constant beyond: ``[E, G]``, rows sum to 1.

    None is negative, so the sup norm never grows; once differentiable, with no slope at the picture's border.
    """
    place = ((2 * ranges * p - q) / (2 * q)).astype(np.float64)
    near = np.clip(np.rint(place), 0, ranges - 1).astype(np.int64)
    t = np.clip(place - near, -0.5, 0.5)
    rows, out = np.arange(len(place)), np.zeros((len(place), ranges))
    for step, weight in ((-1, (0.5 - t) ** 2 / 2), (0, 0.75 - t**2), (1, (0.5 + t) ** 2 / 2)):
        np.add.at(out, (rows, np.clip(near + step, 0, ranges - 1)), weight)
    return out


def one_hot(ranges: int, index: Ints) -> Floats:
    """Each range's own number: ``[E, G]``."""
    return np.eye(ranges)[index.astype(np.int64)]


@dataclass(frozen=True, eq=False)
class Axis:
    """The constants of one axis of E points that a step of the collage uses.

    Attributes:
        constants: ``matrix [E, G]`` from range numbers to points, three non-zero numbers a row at most, side by side;
            ``inverse [E]`` from points to the U distinct coordinates within ranges; ``cosines [U, K]`` at these.
    """

    constants: Constants
    _taps: dict[torch.dtype, tuple[Ints, Floats]] = field(default_factory=dict)

    @property
    def points(self) -> int:
        """E."""
        return len(self.constants.arrays["inverse"])

    def taps(self, like: Tensor) -> tuple[Ints, Floats]:
        """The matrix's non-zero columns, three side by side, and the inverse, for compiled loops.

        Integers ``[2, E]``: first of three ranges (of at least three), inverse; floats ``[3, E]`` in the type of
        ``like``: weights of the three.
        """
        if like.dtype not in self._taps:
            matrix, inverse = self.constants.arrays["matrix"], self.constants.arrays["inverse"]
            matrix = np.pad(matrix, ((0, 0), (0, max(0, 3 - matrix.shape[1]))))
            low = np.minimum((matrix > 0).argmax(axis=1), matrix.shape[1] - 3)
            weights = np.stack([matrix[np.arange(len(low)), low + k] for k in range(3)])
            made = torch.from_numpy(weights).to(like.dtype).numpy()
            self._taps[like.dtype] = (np.stack([low, inverse]).astype(np.int32), made)
        return self._taps[like.dtype]

    def on(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """matrix, inverse, cosines."""
        c = self.constants.on(like)
        return c["matrix"], c["inverse"], c["cosines"]


def grid_axis(ranges: int, size: int, mirror: bool, count: int, rows: Ints | None = None) -> tuple[Axis, Ints]:
    """The pixels ``rows`` (all where None) of ``size``, which ``ranges`` divides, and the distinct pixels in a range.

    A mirrored (continuous) axis samples at pixel centres, a plain one takes means over pixels.
    """
    block = size // ranges
    every = rows is None
    rows = np.arange(size) if rows is None else rows
    i, r = rows // block, rows % block
    if mirror:
        r = np.where(i % 2 == 1, block - 1 - r, r)
    local, inverse = (np.arange(block), r) if every else np.unique(r, return_inverse=True)
    matrix = spline(ranges, 2 * rows + 1, 2 * size) if mirror else one_hot(ranges, i)
    cos = cosines(count, 2 * local + 1, 2 * block) if mirror else cosine_means(count, local, local + 1, block)
    constants = Constants({"matrix": matrix, "inverse": inverse, "cosines": cos})
    return Axis(constants), local


_full_axis = lru_cache(maxsize=64)(grid_axis)


def axis_of(ranges: int, size: int, mirror: bool, count: int, rows: Ints | None = None) -> tuple[Axis, Ints]:
    """:func:`grid_axis`, cached if it covers all pixels."""
    if rows is None:
        return _full_axis(ranges, size, mirror, count)
    return grid_axis(ranges, size, mirror, count, rows)


def point_axis(ranges: int, p: Ints, q: int, count: int) -> tuple[Axis, Ints]:
    """The points p / q of a continuous collage, and the distinct coordinates (over q) within ranges."""
    _, t = fold(ranges, p, q, True)
    local, inverse = np.unique(t, return_inverse=True)
    arrays = {"matrix": spline(ranges, p, q), "inverse": inverse, "cosines": cosines(count, local, q)}
    return Axis(Constants(arrays)), local


def enter(t: Ints, q: int, cell: int, scale: int, flip: bool) -> tuple[Ints, int]:
    """The picture's coordinate of range coordinates t / q: ((flipped t) + cell) / scale, as p and q."""
    p = (q - t if flip else t) + cell * q
    if scale > 1 and bool((p % scale == 0).all()):
        return p // scale, q
    return p, q * scale
