"""Sparse linear maps along one axis of a raster: area averages, linear and cubic interpolation.

Places are exact: a point of the unit interval is p / q with integers p (a NumPy array, of Python's own integers where
64 bits do not suffice) and q.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[Any]  # int64, or object for long integers
Floats = NDArray[np.float64]

LARGEST = 1 << 62
DENSE = 1 << 14  # entries below which a sparse map is applied as a matrix
FEW = 32  # columns up to which it is always applied as a matrix
KEYS = -0.75  # free coefficient of cubic convolution (Keys, 1981), as in torch's bicubic interpolation


def ints(values: Any, bound: int) -> Ints:
    """Values as int64, or as Python's integers where products up to ``bound`` would not fit."""
    array = np.asarray(values)
    return array.astype(np.int64 if bound < LARGEST else object)


@dataclass(frozen=True, eq=False)
class Constants:
    """Constant arrays of a geometry, converted once to tensors of each type and device."""

    arrays: dict[str, NDArray[Any]]
    _made: dict[tuple[torch.dtype, torch.device], dict[str, Tensor]] = field(default_factory=dict)

    def on(self, like: Tensor) -> dict[str, Tensor]:
        """The arrays: floats in the type of ``like``, integers as int64, on its device."""
        key = (like.dtype, like.device)
        if key not in self._made:
            made = {}
            with torch.inference_mode(False):  # autograd may need them later
                for name, array in self.arrays.items():
                    tensor = torch.from_numpy(np.ascontiguousarray(array))
                    dtype = like.dtype if tensor.is_floating_point() else torch.int64
                    made[name] = tensor.to(device=like.device, dtype=dtype)
            self._made[key] = made
        return self._made[key]


class Taps:
    """A sparse linear map along one axis: out_e = sum_t weight[e, t] x[index[e, t]], the same number of taps a row.

    Rows sum to one. Those of :meth:`at`, :meth:`over` and :meth:`pick` are non-negative too, so the sup norm never
    grows.
    """

    def __init__(self, index: Ints, weight: Floats, size: int) -> None:
        used = weight.any(axis=0)
        self.index, self.weight, self.size = index[:, used].astype(np.int64), weight[:, used], size
        e, t = self.index.shape
        # e contiguous blocks of t, equally weighted, are a mean over a reshaped axis
        self.pools = e * t == size and t > 1 and bool((self.index.ravel() == np.arange(size)).all())
        self.pools = self.pools and bool(np.ptp(self.weight) < 1e-12)
        arrays: dict[str, NDArray[Any]] = {"index": self.index, "weight": self.weight}
        if t > 1 and (e * size <= DENSE or size <= FEW):
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
    def cubic(p: Ints, q: int, size: int) -> Taps:
        """Cubic convolution between the centres of ``size`` pixels, the outermost repeated, at the points p / q."""
        place = ((2 * size * p - q) / (2 * q)).astype(np.float64)
        low = np.floor(place).astype(np.int64)
        far = np.abs(place[:, None] - low[:, None] - np.arange(-1, 3))  # distance to each of four centres, 0 to 2
        near = ((KEYS + 2) * far - (KEYS + 3)) * far**2 + 1
        weight = np.where(far <= 1, near, KEYS * (((far - 5) * far + 8) * far - 4))
        return Taps(np.clip(low[:, None] + np.arange(-1, 3), 0, size - 1), weight, size)

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


def area_span(n: int, points: int, start: int, stop: int) -> tuple[int, int]:
    """First and end of the points that pixels start … stop - 1 of n cover.

    >>> area_span(7, 9, 2, 3)
    (2, 4)
    """
    return start * points // n, -(-stop * points // n)


def area_taps(n: int, points: int, start: int, stop: int) -> tuple[int, int, Taps]:
    """Pixels start … stop - 1 of n as means of points: first and end of these points, and the means.

    >>> first, end, taps = area_taps(2, 4, 1, 2)
    >>> first, end, taps.index.tolist(), taps.weight.tolist()
    (2, 4, [[0, 1]], [[0.5, 0.5]])
    """
    first, end = area_span(n, points, start, stop)
    pixels = ints(np.arange(start, stop), 2 * n * points)
    taps = Taps.over(pixels, pixels + 1, n, points)
    return first, end, Taps(np.minimum(taps.index - first, end - first - 1), taps.weight, end - first)


def area_means(picture: Tensor, height: int, width: int) -> Tensor:
    """Area averages ``[..., height, width]`` of ``[..., H, W]``, in float64; any sizes.

    >>> area_means(torch.arange(8.0).view(2, 4), 1, 2).tolist()
    [[2.5, 4.5]]
    """
    picture = picture.double()
    for dim, n in ((-2, height), (-1, width)):
        picture = area_taps(n, picture.shape[dim], 0, n)[2].apply(picture, dim)
    return picture


def resample(picture: NDArray[Any], height: int, width: int, box: tuple[float, float, float, float]) -> NDArray[Any]:
    """Resize a part of a picture ``[H, W(, C)]`` of integers: area means, or linear where it is enlarged.

    Args:
        box: left, top, right, bottom of the part, in samples of ``picture``.
    """
    out = picture.astype(np.float32)
    for axis, (n, a, b) in enumerate(((height, box[1], box[3]), (width, box[0], box[2]))):
        out = (_interpolated if b - a < n else _averaged)(out, axis, n, a, b)
    return np.rint(out).clip(0, np.iinfo(picture.dtype).max).astype(picture.dtype)


def _interpolated(x: NDArray[Any], axis: int, n: int, a: float, b: float) -> NDArray[Any]:
    shape = [-1 if k == axis else 1 for k in range(x.ndim)]
    where = np.clip(a + (b - a) * (np.arange(n) + 0.5) / n - 0.5, 0, x.shape[axis] - 1)
    low = np.minimum(where.astype(np.int64), max(0, x.shape[axis] - 2))
    part = (where - low).reshape(shape).astype(np.float32)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    return np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part


def _averaged(x: NDArray[Any], axis: int, n: int, a: float, b: float) -> NDArray[Any]:
    shape = [-1 if k == axis else 1 for k in range(x.ndim)]
    first = np.zeros_like(np.take(x, [0], axis), np.float64)
    total = np.concatenate([first, np.cumsum(x, axis, np.float64)], axis)
    edges = np.clip(a + (b - a) * np.arange(n + 1) / n, 0, x.shape[axis])
    low = np.minimum(edges.astype(np.int64), x.shape[axis] - 1)
    inside = (edges - low).reshape(shape)
    at = np.take(total, low, axis) * (1 - inside) + np.take(total, low + 1, axis) * inside
    return (np.diff(at, axis=axis) / np.maximum(np.diff(edges), 1e-9).reshape(shape)).astype(np.float32)
