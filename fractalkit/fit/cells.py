"""Cells of a cloud: a k-d tree along principal axes, split cell by cell, with affine-invariant shapes of its cells.

The points are kept in the order of the tree, so that a cell is an interval of them, and evenly spaced positions of
an interval are a stratified sample of the cell. Planar clouds have a third coordinate of zero.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from scipy.spatial import cKDTree

# mypy: disable-error-code="no-untyped-def"
PROBES = 40  # whitened points of a cell by which orientations are compared
SHAPES = 10  # numbers that describe a cell's shape up to affine maps
_SHAPE_POINTS = 240  # points of a cell from which its shape is estimated
_FLAT = 0.08  # standard deviation across a cell, relative to the middle one, below which it counts as flat
_SLACK = 0.05  # weight of an error along the cloud relative to one across it
_NEIGHBOURS = 12
_GAP = 4.0  # width in spacings of a gap at which a cell is split rather than in halves,
_MIDDLE = 0.2  # if each side has this share of the points


class Cells:
    """A tree of cells over a cloud, grown by :meth:`split`.

    Args:
        points: ``[N, 3]``, diagonal about one.
        dim: D; in the plane the third coordinates are zero.
        ranges: the number of leaves that there will be at most.

    Attributes:
        points: ``[N, 3]`` in the order of the tree.
        order: ``[N]``, the indices of these points in the input.
        metric: ``[N, 3, 3]``, the weight of an error at each point: one across the cloud, small along it.
        spacing: typical distance to the nearest neighbour.
        bounds: ``[C, 2]``, the interval of points of each cell.
        children: ``[C, 2]``, the two parts of a cell, -1 for leaves.
        parent: ``[C]``, the cell that it is a part of, -1 for the first.
        depth: ``[C]``, the number of cells that contain it.
        levels: the cells of each depth.
        mean, axes, std: ``[C, 3]``, ``[C, 3, 3]``, ``[C, 3]``: centre, principal axes in rows, standard deviations.
        white: ``[C, PROBES, 3]``, some of the cell's points, whitened along its axes.
        shape: ``[C, SHAPES]``, moments that affine maps leave alone, but for rotations by which none is affected.
        count: the number of cells of the tree; :meth:`add_runs` appends to ``bounds``, ``mean``, ``axes``, ``std``,
            ``white`` and ``shape``.
    """

    def __init__(self, points: np.ndarray, dim: int, ranges: int) -> None:
        n, cells = len(points), 2 * ranges
        self.points, self.dim = points.copy(), dim
        self.order = np.arange(n)
        self.spacing, self.metric = _local_metric(points, dim)
        self.bounds = np.zeros((cells, 2), dtype=np.int64)
        self.children = np.full((cells, 2), -1, dtype=np.int64)
        self.parent = np.full(cells, -1, dtype=np.int64)
        self.depth = np.zeros(cells, dtype=np.int64)
        self.mean, self.std = np.zeros((cells, 3)), np.zeros((cells, 3))
        self.axes = np.zeros((cells, 3, 3))
        self.white = np.zeros((cells, PROBES, 3), dtype=np.float32)
        self.shape = np.zeros((cells, SHAPES))
        self.count = 0
        self.levels: list[list[int]] = []
        self._add(0, n, 0)

    def _add(self, start: int, end: int, depth: int) -> int:
        c = self.count
        self.count += 1
        self.bounds[c] = start, end
        self.depth[c] = depth
        if depth == len(self.levels):
            self.levels.append([])
        self.levels[depth].append(c)
        part = self.points[start:end]
        describe(part, self.mean[c], self.axes[c], self.std[c], self.white[c], self.shape[c])
        return c

    def size(self, cell: int) -> int:
        """The number of points of a cell."""
        return int(self.bounds[cell, 1] - self.bounds[cell, 0])

    def split(self, cell: int) -> tuple[int, int]:
        """Split a leaf of two points or more: at a gap, if there is one, or in halves across its longest axis."""
        start, end = self.bounds[cell]
        along = (self.points[start:end] - self.mean[cell]) @ self.axes[cell].T
        axis, first = self._cut(along)
        order = np.argpartition(along[:, axis], first) + start
        if self._reversed(start, order[:first], order[first:]):
            order, first = np.roll(order, len(order) - first), len(order) - first
        for array in (self.points, self.order, self.metric):
            array[start:end] = array[order]
        depth = int(self.depth[cell]) + 1
        halves = self._add(start, start + first, depth), self._add(start + first, end, depth)
        self.children[cell] = halves
        self.parent[list(halves)] = cell
        return halves

    def _reversed(self, start: int, one: np.ndarray, two: np.ndarray) -> bool:
        """Whether two parts of an interval of points are nearer to what stands beside it in the other order."""
        size, x = len(one) + len(two), self.points
        a, b = x[one].mean(axis=0), x[two].mean(axis=0)
        cost = 0.0
        for side, sign in ((x[max(start - size, 0) : start], 1), (x[start + size : start + 2 * size], -1)):
            if len(side):
                c = side.mean(axis=0)
                cost += sign * float(np.linalg.norm(a - c) - np.linalg.norm(b - c))
        return cost > 0

    def add_runs(self, longest: int) -> int:
        """Append the unions of 2 to ``longest`` leaves that follow one another and are no cells; returns how many."""
        edges = np.append(self.bounds[self.leaves(), 0], len(self.points))
        first = np.repeat(np.arange(len(edges)), longest - 1)
        last = first + np.tile(np.arange(2, longest + 1), len(edges))
        there = last < len(edges)
        runs = np.stack([edges[first[there]], edges[last[there]]], axis=1)
        key = len(self.points) + 1
        runs = runs[~np.isin(runs @ [key, 1], self.bounds[: self.count] @ [key, 1])]
        n = self.count
        for name in ("bounds", "mean", "axes", "std", "white", "shape"):
            a = getattr(self, name)[:n]
            setattr(self, name, np.concatenate([a, np.zeros((len(runs), *a.shape[1:]), a.dtype)]))
        self.bounds[n:] = runs
        for c, (start, end) in enumerate(runs, n):
            part = self.points[start:end]
            describe(part, self.mean[c], self.axes[c], self.std[c], self.white[c], self.shape[c])
        return len(runs)

    def _cut(self, along: np.ndarray) -> tuple[int, int]:
        """The axis across which to split points ``[n, 3]`` in their principal frame, and the size of the first part."""
        n = len(along)
        low, high = int(_MIDDLE * n), int((1 - _MIDDLE) * n)
        if high - low < 2:
            return 0, n // 2
        gaps = np.diff(np.sort(along, axis=0)[low : high + 1], axis=0)
        widest = gaps.max(axis=0)
        axis = int(widest.argmax())
        if widest[axis] <= _GAP * self.spacing:
            return 0, n // 2
        return axis, low + int(gaps[:, axis].argmax()) + 1

    def above(self, cell: int) -> list[int]:
        """The cells that contain a cell, smallest first."""
        out, parent = [], self.parent
        while parent[cell] >= 0:
            cell = int(parent[cell])
            out.append(cell)
        return out

    def leaves(self) -> np.ndarray:
        """All leaves in the order of their points."""
        leaves = np.flatnonzero(self.children[: self.count, 0] < 0)
        return leaves[np.argsort(self.bounds[leaves, 0])]


def _local_metric(points: np.ndarray, dim: int) -> tuple[float, np.ndarray]:
    """Spacing of a cloud and metric ``[N, 3, 3]`` of its points, from the covariances of their neighbourhoods.

    Errors are weighed as in generalised ICP (Segal, Haehnel and Thrun, 2009): a point near a smooth surface may
    slide along it, as sampling is random there, but not leave it; within a volume all directions count the same.
    """
    n = len(points)
    k = min(_NEIGHBOURS + 1, n)
    if k < 4:
        spacing = float(np.linalg.norm(np.ptp(points, axis=0))) / max(n - 1, 1)
        return max(spacing, 1e-9), np.tile(np.eye(3), (n, 1, 1))
    distance, near = cKDTree(points).query(points, k=k)
    metric = np.empty((n, 3, 3))
    for part in np.array_split(np.arange(n), max(1, n // 100_000)):
        x = points[near[part]]
        x = x - x.mean(axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", x, x))
        share = values / np.maximum(values[:, 2:], 1e-300)
        weight = _SLACK / (_SLACK + share)
        if dim == 2:
            weight[:, 0] = weight[:, 1]  # the axis across the plane, along which there are no errors
        weight /= weight.max(axis=1, keepdims=True)
        metric[part] = np.einsum("nik,nk,njk->nij", vectors, weight, vectors)
    return max(float(np.median(distance[:, 1])), 1e-12), metric


def describe(
    points: np.ndarray, mean: np.ndarray, axes: np.ndarray, std: np.ndarray, white: np.ndarray, shape: np.ndarray
) -> None:
    """Write mean, axes, standard deviations, whitened probes and shape of the cell of points ``[n, 3]``."""
    n = len(points)
    mean[:] = points.mean(axis=0)
    centred = points - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / n)
    std[:] = np.sqrt(np.maximum(values[::-1], 0.0))
    axes[:] = vectors[:, ::-1].T
    first = max(std[0], 1e-300)
    second = max(std[1], 1e-3 * first)
    scale = np.array([first, second, max(std[2], _FLAT * second)])
    m = min(n, _SHAPE_POINTS)
    w = centred[(np.arange(m) * n) // m] @ axes.T / scale
    white[:] = w[(np.arange(len(white)) * m) // len(white)]
    _moments(w, shape)


@nb.njit(cache=True)
def _moments(w, shape):
    """Third and fourth moments of whitened points that no rotation about the thinnest axis, nor reflection, changes."""
    m = w.shape[0]
    uu, uv, vv, zz = 0.0, 0.0, 0.0, 0.0
    a, b, c, d = 0.0, 0.0, 0.0, 0.0  # planar third harmonic and skewness
    e, f, g, h = 0.0, 0.0, 0.0, 0.0  # planar fourth harmonic, second harmonic of fourth order
    r4, z3, z4, p, q = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(m):
        u, v, z = w[i, 0], w[i, 1], w[i, 2]
        r2 = u * u + v * v
        uu += z * u * u
        uv += z * u * v
        vv += z * v * v
        zz += z * z * r2
        a += u * u * u - 3 * u * v * v
        b += 3 * u * u * v - v * v * v
        c += u * r2
        d += v * r2
        e += u * u * u * u - 6 * u * u * v * v + v * v * v * v
        f += 4 * u * v * (u * u - v * v)
        g += (u * u - v * v) * r2
        h += 2 * u * v * r2
        r4 += r2 * r2
        z3 += z * z * z
        z4 += z * z * z * z
        p += z * z * u
        q += z * z * v
    middle = (uu + vv) / 2
    swing = np.sqrt(((uu - vv) / 2) ** 2 + uv * uv)
    shape[0] = abs(middle) / m
    shape[1] = swing / m
    shape[2] = np.sqrt(a * a + b * b) / m / 2
    shape[3] = np.sqrt(c * c + d * d) / m / 2
    shape[4] = np.sqrt(e * e + f * f) / m / 4
    shape[5] = np.sqrt(g * g + h * h) / m / 4
    shape[6] = r4 / m / 4
    shape[7] = abs(z3) / m / 2
    shape[8] = min(z4 / m, 9.0) / 4
    shape[9] = np.sqrt(p * p + q * q) / m / 2
