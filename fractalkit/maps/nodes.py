"""The collage operator on a finite grid of nodes: pixels of any size, or points that the domains map to each other."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.collage import CollageCode, Domain
from fractalkit.core import Implicit, IteratedMap
from fractalkit.maps.combine import combine, spread
from fractalkit.maps.fields import Axis, axis_of, enter, one_hot, point_axis
from fractalkit.raster.area import Constants, Ints, Taps
from fractalkit.raster.cosines import cosine_means

MAX_STEPS = 4000


@dataclass(frozen=True, eq=False)
class Fields:
    """A code's tensors in float32 or float64, with the axis of weights before those of ranges."""

    brightness: Tensor  # [B, C, Gh, Gw]
    contrast: Tensor  # [B, C, D, Gh, Gw]
    mixing: Tensor  # [B, C, A, Gh, Gw]
    patches: Tensor  # [A, C or 1, Kh, Kw]

    @staticmethod
    def of(code: CollageCode) -> Fields:
        """The code's tensors, shared ones expanded to all channels."""
        dtype = torch.float32
        for tensor in (code.brightness, code.contrast, code.mixing, code.patches):
            dtype = torch.promote_types(dtype, tensor.dtype)
        b, c = code.brightness.shape[:2]
        contrast, mixing = (t.to(dtype).movedim(-1, 2).expand(b, c, -1, -1, -1) for t in (code.contrast, code.mixing))
        return Fields(code.brightness.to(dtype), contrast, mixing, code.patches.to(dtype))

    @property
    def weights(self) -> Tensor:
        """Weights of the domains, then of the patches: ``[B, C, D + A, Gh, Gw]``."""
        return torch.cat([self.contrast, self.mixing], 2) if self.mixing.shape[2] else self.contrast

    def auxiliary(self, y: Axis, x: Axis) -> Tensor:
        """The patches on two axes' range coordinates: ``[A, C or 1, Uy, Ux]``."""
        return y.on(self.patches)[2] @ self.patches @ x.on(self.patches)[2].mT


@dataclass(frozen=True, eq=False)
class Nodes:
    """The points at which the operator is evaluated, and how the domains read the values there.

    Attributes:
        y, x: the points of evaluation.
        reads: for each domain, the maps from node rows and node columns to range coordinates, and whether they swap.
        joins: maps from points to nodes where pixels lie across range borders (plain codes), else None.
        shape: (rows, columns) of nodes.
    """

    y: Axis
    x: Axis
    reads: tuple[tuple[Taps, Taps, bool], ...]
    joins: tuple[Taps | None, Taps | None]
    shape: tuple[int, int]


Key = tuple[tuple[int, int], tuple[Domain, ...], tuple[int, int]]


def key_of(code: CollageCode) -> Key:
    """The geometry of a code: grid, domains, number of cosines."""
    return code.grid, code.domains, (code.patches.shape[2], code.patches.shape[3])


def point_nodes(key: Key, py: Ints, px: Ints, q: tuple[int, int], *, closed: bool) -> Nodes:
    """Points p / q of a continuous code: read exactly where the domains map them to each other, else interpolated."""
    (gh, gw), domains, (kh, kw) = key
    y, ty = point_axis(gh, py, q[0], kh)
    x, tx = point_axis(gw, px, q[1], kw)
    sizes = (len(py), len(px))
    reads = []
    for d in domains:
        t, qs = ((tx, ty), (q[1], q[0])) if d.transposed else ((ty, tx), q)
        taps = []
        for k, (cell, nodes) in enumerate(((d.row, py), (d.col, px))):
            p, pq = enter(t[k], qs[k], cell, d.scale, d.flips[k])
            taps.append(Taps.pick(p, nodes) if closed else Taps.at(p, pq, sizes[k]))
        reads.append((taps[0], taps[1], d.transposed))
    return Nodes(y, x, tuple(reads), (None, None), sizes)


def centre_nodes(code: CollageCode, height: int, width: int) -> Nodes:
    """The pixels of a picture: its centres for a continuous code, its areas for a plain one."""
    return _centre_nodes(key_of(code), code.continuous, height, width)


@lru_cache(maxsize=32)
def _centre_nodes(key: Key, continuous: bool, height: int, width: int) -> Nodes:
    if continuous:
        nodes = point_nodes(
            key, 2 * np.arange(height) + 1, 2 * np.arange(width) + 1, (2 * height, 2 * width), closed=False
        )
    else:
        nodes = _area_nodes(key, height, width)
    (gh, gw), _, (kh, kw) = key
    y = axis_of(gh, height, continuous, kh)[0] if height % gh == 0 else nodes.y
    x = axis_of(gw, width, continuous, kw)[0] if width % gw == 0 else nodes.x
    return Nodes(y, x, nodes.reads, nodes.joins, nodes.shape)


def _area_nodes(key: Key, height: int, width: int) -> Nodes:
    (gh, gw), domains, (kh, kw) = key
    y, ty, qy, join_y = _pieces(gh, height, kh)
    x, tx, qx, join_x = _pieces(gw, width, kw)
    reads = []
    for d in domains:
        t, qs = ((tx, ty), (qx, qy)) if d.transposed else ((ty, tx), (qy, qx))
        taps = []
        for k, (cell, size) in enumerate(((d.row, height), (d.col, width))):
            (start, stop), q = t[k], qs[k]
            if d.flips[k]:
                start, stop = q - stop, q - start
            taps.append(Taps.over(start + cell * q, stop + cell * q, q * d.scale, size))
        reads.append((taps[0], taps[1], d.transposed))
    return Nodes(y, x, tuple(reads), (join_y, join_x), (height, width))


def _pieces(ranges: int, size: int, count: int) -> tuple[Axis, tuple[Ints, Ints], int, Taps | None]:
    """Pixels cut at range borders: their axis, the distinct intervals (over q) within ranges, the joining map."""
    q = size * ranges
    ends = np.union1d(np.arange(size + 1) * ranges, np.arange(ranges + 1) * size)
    start, stop = ends[:-1], ends[1:]
    i = start // size
    intervals = np.stack([ranges * start - i * q, ranges * stop - i * q], axis=1)
    local, inverse = np.unique(intervals, axis=0, return_inverse=True)
    t = (local[:, 0], local[:, 1])
    arrays = {"matrix": one_hot(ranges, i), "inverse": inverse.ravel(), "cosines": cosine_means(count, *t, q)}
    join = None
    if len(start) > size:
        pixel = start // ranges
        first = np.searchsorted(pixel, np.arange(size))
        parts = np.diff(np.append(first, len(pixel)))
        index = first[:, None] + np.arange(int(parts.max()))
        inside = np.arange(int(parts.max())) < parts[:, None]
        index = np.minimum(index, len(start) - 1)
        join = Taps(index, np.where(inside, (stop - start)[index] / ranges, 0.0), len(start))
    return Axis(Constants(arrays)), t, q, join


class NodeMap(IteratedMap):
    """T on values ``[B, C, ny, nx]`` at nodes: sup norm per item, contracting by max sum_d |contrast|.

    Reading is by averages, so it never grows the sup norm, and spline fields never exceed the range numbers.

    Args:
        nodes: where T is evaluated; a subclass may compute its own.
        level: a name for :meth:`level`.
    """

    nodes: Nodes

    def __init__(self, code: CollageCode, nodes: Nodes | None = None, level: Hashable = None) -> None:
        self.code, self._level = code, level
        if nodes is not None:
            self.nodes = nodes
        self.fields = Fields.of(code)

    def start(self) -> Tensor:
        """The brightness without any copies."""
        return self._join(spread(self.fields.brightness.detach(), self.nodes.y, self.nodes.x))

    def step(self, x: Tensor) -> Tensor:
        """``[B, C, ny, nx]`` -> the same."""
        nodes, fields = self.nodes, self.fields
        with torch.autocast(x.device.type, enabled=False):
            sources = []
            for rows, cols, transposed in nodes.reads:
                read = cols.apply(rows.apply(x, -2), -1)
                sources.append(read.mT if transposed else read)
            patches = fields.auxiliary(nodes.y, nodes.x)
            return self._join(combine(fields.brightness, fields.weights, sources, patches, nodes.y, nodes.x))

    def _join(self, pieces: Tensor) -> Tensor:
        for dim, join in ((-2, self.nodes.joins[0]), (-1, self.nodes.joins[1])):
            if join is not None:
                pieces = join.apply(pieces, dim)
        return pieces

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Largest absolute difference of each item: ``[B]``."""
        return (x - y).abs().flatten(1).amax(dim=1)

    def lipschitz(self) -> Tensor:
        """The code's own, ``[B]``."""
        return self.code.lipschitz().to(self.fields.brightness.dtype)

    def level(self) -> Hashable:
        """The name given."""
        return self._level

    def solve_options(self) -> dict[str, Any]:
        """Solve to rounding error, with the implicit gradient, whose memory does not grow with the steps."""
        return {"tol": None, "max_steps": MAX_STEPS, "adjoint": implicit(self.fields.brightness.dtype)}


def implicit(dtype: torch.dtype) -> Implicit:
    """The implicit gradient to rounding error."""
    return Implicit(tol=1000 * torch.finfo(dtype).eps, max_steps=MAX_STEPS)
