"""One axis of a collage: where its points fall in ranges and domains, and the constant linear maps that follow.

Coordinates are exact. A point of the unit interval is p / q with integers p (a NumPy array, of Python's own integers
where 64 bits do not suffice) and q, so that the G-fold map may be applied hundreds of times, and at 10^9 pixels a side,
without the loss of a few bits a step that floating point would suffer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[Any]  # int64, or object for long integers
Floats = NDArray[np.float64]

LARGEST = 1 << 62
DENSE = 1 << 14  # entries below which a sparse map is applied as a matrix


def ints(values: Any, bound: int) -> Ints:
    """Values as int64, or as Python's integers where products up to ``bound`` would not fit."""
    array = np.asarray(values)
    return array.astype(np.int64 if bound < LARGEST else object)


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


@dataclass(frozen=True, eq=False)
class Constants:
    """Constant arrays of a geometry, handed out as tensors of any type and device, converted once for each."""

    arrays: dict[str, NDArray[Any]]
    _made: dict[tuple[torch.dtype, torch.device], dict[str, Tensor]] = field(default_factory=dict)

    def on(self, like: Tensor) -> dict[str, Tensor]:
        """The arrays: floats in the type of ``like``, integers as int64, on its device."""
        key = (like.dtype, like.device)
        if key not in self._made:
            made = {}
            with torch.inference_mode(False):  # they outlive it, and autograd may want them later
                for name, array in self.arrays.items():
                    tensor = torch.from_numpy(np.ascontiguousarray(array))
                    dtype = like.dtype if tensor.is_floating_point() else torch.int64
                    made[name] = tensor.to(device=like.device, dtype=dtype)
            self._made[key] = made
        return self._made[key]


class Taps:
    """A sparse linear map along one axis: out_e = sum_t weight[e, t] x[index[e, t]], the same number of taps a row.

    Weights are non-negative and rows sum to one, so the sup norm never grows.
    """

    def __init__(self, index: Ints, weight: Floats, size: int) -> None:
        used = weight.any(axis=0)
        self.index, self.weight, self.size = index[:, used].astype(np.int64), weight[:, used], size
        e, t = self.index.shape
        # e contiguous blocks of t, equally weighted, are a mean over a reshaped axis
        self.pools = e * t == size and t > 1 and bool((self.index.ravel() == np.arange(size)).all())
        self.pools = self.pools and bool(np.ptp(self.weight) < 1e-12)
        arrays: dict[str, NDArray[Any]] = {"index": self.index, "weight": self.weight}
        if t > 1 and e * size <= DENSE:
            arrays["dense"] = np.zeros((e, size))
            np.add.at(arrays["dense"], (np.arange(e)[:, None], self.index), self.weight)
        self.constants = Constants(arrays)

    @staticmethod
    def at(p: Ints, q: int, size: int) -> Taps:
        """Linear interpolation between the centres of ``size`` pixels at the points p / q."""
        place = np.clip(((2 * size * p - q) / (2 * q)).astype(np.float64), 0, size - 1)
        low = np.minimum(place.astype(np.int64), max(size - 2, 0))
        weight = place - low
        return Taps(np.stack([low, np.minimum(low + 1, size - 1)], 1), np.stack([1 - weight, weight], 1), size)

    @staticmethod
    def over(start: Ints, stop: Ints, q: int, size: int) -> Taps:
        """Means of ``size`` pixels over the intervals [start / q, stop / q], none of them empty."""
        first = start * size // q
        reach = int((-(-stop * size // q) - first).max())
        index = first[:, None] + np.arange(reach)
        overlap = np.minimum((index + 1) * q, stop[:, None] * size) - np.maximum(index * q, start[:, None] * size)
        weight = np.maximum((overlap / q).astype(np.float64), 0)
        return Taps(np.minimum(index, size - 1), weight / weight.sum(1, keepdims=True), size)

    @staticmethod
    def pick(p: Ints, nodes: Ints) -> Taps:
        """The entries of sorted ``nodes`` that equal p; each p is one of them."""
        return Taps(np.searchsorted(nodes, p)[:, None], np.ones((len(p), 1)), len(nodes))

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Along ``dim`` (-1 or -2) of x."""
        e, t = self.index.shape
        if self.pools:
            return x.unflatten(dim, (e, t)).mean(dim=dim if dim == -1 else -2)
        c = self.constants.on(x)
        if t == 1:
            return x.index_select(dim, c["index"][:, 0])
        if "dense" in c:
            return x @ c["dense"].mT if dim == -1 else c["dense"] @ x
        weight = c["weight"] if dim == -1 else c["weight"][:, None, :]
        out = x.index_select(dim, c["index"][:, 0]) * weight[..., 0]
        for k in range(1, t):
            out = out + x.index_select(dim, c["index"][:, k]) * weight[..., k]
        return out


@dataclass(frozen=True, eq=False)
class Axis:
    """What a step of the collage needs to know of one axis of E points.

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
    """:func:`grid_axis`, remembered where it is of all pixels."""
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
