"""Refine the maps of a collage through its attractor, on which each point is the image of another one.

A round draws points of the attractor, finds for each the nearest point of the cloud and for each point of the cloud the
nearest of the attractor, and solves for every map with its sources as they are: Gauss-Newton on the distance of the
two, without the dependence of the sources on the maps, which the contraction makes small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from scipy.spatial import cKDTree

from fractalkit.codes.graph import interval_max
from fractalkit.fit.matching import NOISE, accumulate, limit_norm, solve_map

# mypy: disable-error-code="no-untyped-def"


WEIGH = 0.3  # exponent of the new weights in a round of refinement
SHARE = 8  # points of a pool for each that is drawn from it
_FARTHEST = 20.0  # spacings beyond which a pair counts no more


@dataclass(frozen=True)
class PointPool:
    """Points of an attractor ``[N, 3]``, the points that they are images of, and the ranges that own them, in order.

    Points that share a source coincide, if they are of the same range; a pool several times as large as what is drawn
    from it avoids that. ``origin`` are the ranges that own the sources.
    """

    points: np.ndarray
    sources: np.ndarray
    owner: np.ndarray
    origin: np.ndarray

    def thin(self, rng: np.random.Generator, factor: int = SHARE) -> PointPool:
        """One point, at random, of every ``factor`` points in order."""
        first = np.arange(0, len(self.points) - factor + 1, factor)
        chosen = first + rng.integers(factor, size=len(first))
        return PointPool(self.points[chosen], self.sources[chosen], self.owner[chosen], self.origin[chosen])


@dataclass(frozen=True)
class Graph:
    """Ranges in order, each a copy of an interval of ranges.

    Attributes:
        maps: ``[R, 3, 4]``.
        domains: ``[R, 2]``, half-open.
        weights: ``[R]``, sum one.
    """

    maps: np.ndarray
    domains: np.ndarray
    weights: np.ndarray

    def counts(self, points: int) -> np.ndarray:
        """Points of each range, at least one, about ``points`` in all: ``[R]``."""
        ends = np.round(np.cumsum(self.weights) * points).astype(np.int64)
        return np.maximum(np.diff(ends, prepend=0), 1)

    def pool(
        self, points: int, rng: np.random.Generator, *, sweeps: int = 24, start: np.ndarray | None = None
    ) -> PointPool:
        """Points of the attractor, each the image of another one, from ``start`` or the offsets of the maps."""
        counts = self.counts(points)
        owner = np.repeat(np.arange(len(counts)), counts)
        ends = np.concatenate([[0], np.cumsum(counts)])
        x = self.maps[owner, :, 3] if start is None or len(start) != len(owner) else start.copy()
        y, source = np.empty_like(x), np.empty(len(x), dtype=np.int64)
        for k in range(sweeps):
            sweep(self.maps, ends, self.domains, rng.random(len(x)), x, y, source, k == sweeps - 1)
            x, y = y, x
        return PointPool(x, y[source], owner, owner[source])

    def sample(self, points: int, rng: np.random.Generator) -> PointPool:
        """About so many points of the attractor, of which hardly any two share their last sources."""
        return self.pool(SHARE * points, rng).thin(rng)

    def collage_bound(self, points: np.ndarray, ends: np.ndarray) -> float:
        """Bound the Hausdorff distance of the attractor from points ``[N, 3]`` by the collage theorem.

        Range r has the points ends[r] to ends[r + 1], ``ends [R + 1]``. With e_r their distance from the copy of its
        domain's points, the attractor's distances h_r satisfy h_r <= e_r + |A_r| max h_s, s in the domain of r.
        """
        gap = np.sqrt(gaps(self.maps, self.domains, ends, points))
        norms = np.linalg.norm(self.maps[:, :, :3], ord=2, axis=(1, 2))
        # from above, where every pass keeps a bound a bound
        bound = np.full(len(gap), gap.max() / max(1.0 - norms.max(), 1e-9))
        for _ in range(200):
            bound = np.minimum(bound, gap + norms * interval_max(bound, self.domains))
        return float(bound.max())


@nb.njit(cache=True, fastmath=True)
def gaps(maps, domains, ends, x):
    """Squared Hausdorff distance of ranges from copies of their domains, ``[R]``; range r is x[ends[r]:ends[r + 1]]."""
    out = np.zeros(len(maps))
    for k in range(len(maps)):
        low, high = ends[domains[k, 0]], ends[domains[k, 1]]
        first, last = ends[k], ends[k + 1]
        back = np.full(last - first, np.inf)
        m = maps[k]
        worst = 0.0
        for i in range(low, high):
            a = m[0, 0] * x[i, 0] + m[0, 1] * x[i, 1] + m[0, 2] * x[i, 2] + m[0, 3]
            b = m[1, 0] * x[i, 0] + m[1, 1] * x[i, 1] + m[1, 2] * x[i, 2] + m[1, 3]
            c = m[2, 0] * x[i, 0] + m[2, 1] * x[i, 1] + m[2, 2] * x[i, 2] + m[2, 3]
            least = np.inf
            for j in range(first, last):
                d = (x[j, 0] - a) ** 2 + (x[j, 1] - b) ** 2 + (x[j, 2] - c) ** 2
                least = min(least, d)
                back[j - first] = min(back[j - first], d)
            worst = max(worst, least)
        for j in range(last - first):
            worst = max(worst, back[j])
        out[k] = worst
    return out


@nb.njit(cache=True)
def sweep(maps, ends, domains, u, x, y, source, keep):
    """Write to y ``[N, 3]`` for each point the image of a point x of its range's domain, drawn by u ``[N]`` in [0, 1).

    Range r has the points ends[r] to ends[r + 1]. With ``keep`` their numbers are written to ``source [N]``.
    """
    for k in range(len(maps)):
        m = maps[k]
        low = ends[domains[k, 0]]
        count = ends[domains[k, 1]] - low
        for i in range(ends[k], ends[k + 1]):
            j = low + min(np.int64(u[i] * count), count - 1)
            for r in range(3):
                y[i, r] = m[r, 0] * x[j, 0] + m[r, 1] * x[j, 1] + m[r, 2] * x[j, 2] + m[r, 3]
            if keep:
                source[i] = j


@nb.njit(cache=True)
def apply(maps, owner, x):
    """The image of each point of x ``[N, 3]`` under its owner's map."""
    y = np.empty_like(x)
    for i in range(len(x)):
        m = maps[owner[i]]
        for r in range(3):
            y[i, r] = m[r, 0] * x[i, 0] + m[r, 1] * x[i, 1] + m[r, 2] * x[i, 2] + m[r, 3]
    return y


@nb.njit(cache=True)
def solve_all(maps, owner, source, mean, x, metric, spacing, to, to_d, back, back_d, damping, cap, far, out):
    """One round: pairs of attractor and cloud -> new maps, written to out ``[R, 3, 4]``.

    Args:
        owner, source: ``[N]`` and ``[N, 3]`` of the attractor's points, in the order of ranges.
        mean: ``[R, 3]``, the centre of each range's sources, about which the equations are set up.
        x, metric: the cloud, ``[M, 3]`` and ``[M, 3, 3]``.
        to, to_d: nearest point of the cloud, for each of the attractor's, and distance.
        back, back_d: nearest point of the attractor, for each of the cloud's, and distance.
        far: what the weight of a pair, one, grows by for the square of its distance in spacings.
    """
    n = len(maps)
    normal, right, pairs = np.zeros((n, 12, 12)), np.zeros((n, 12)), np.zeros(n)
    q = np.empty(3)
    for i in range(len(owner)):
        k = owner[i]
        for c in range(3):
            q[c] = source[i, c] - mean[k, c]
        w = 1.0 + far * min(to_d[i] / spacing, _FARTHEST) ** 2
        accumulate(normal[k], right[k], q, x[to[i]], metric[to[i]], to_d[i] ** 2, spacing, w)
        pairs[k] += w
    each = len(owner) / len(x)
    for j in range(len(x)):
        i = back[j]
        k = owner[i]
        for c in range(3):
            q[c] = source[i, c] - mean[k, c]
        w = each * (1.0 + far * min(back_d[j] / spacing, _FARTHEST) ** 2)
        accumulate(normal[k], right[k], q, x[j], metric[j], back_d[j] ** 2, spacing, w)
        pairs[k] += w
    zero = np.zeros(3)
    for k in range(n):
        m = maps[k].copy()
        for r in range(3):
            m[r, 3] += m[r, 0] * mean[k, 0] + m[r, 1] * mean[k, 1] + m[r, 2] * mean[k, 2]
        solve_map(normal[k], right[k], m, damping, pairs[k] * (NOISE * spacing) ** 2)
        limit_norm(m, zero, cap)
        for r in range(3):
            m[r, 3] -= m[r, 0] * mean[k, 0] + m[r, 1] * mean[k, 1] + m[r, 2] * mean[k, 2]
        out[k] = m


@dataclass(frozen=True)
class Pairs:
    """Nearest points: of the cloud for each of N points (``to [N]``), of these for each of the cloud's (``back [M]``).

    ``to_d`` and ``back_d`` are the distances.
    """

    to: np.ndarray
    to_d: np.ndarray
    back: np.ndarray
    back_d: np.ndarray


class GraphRefiner:
    """Rounds of refinement of a graph towards a cloud ``[M, 3]`` with its metric and spacing.

    Distant pairs count more if ``far`` is positive, see :func:`solve_all`: fewer points are far off, more a little.
    """

    def __init__(self, x: np.ndarray, metric: np.ndarray, spacing: float, *, cap: float, far: float = 0.0) -> None:
        self.x, self.metric, self.spacing, self.cap, self.far = x, metric, spacing, cap, far
        self.tree = cKDTree(x)

    def pairs(self, points: np.ndarray) -> Pairs:
        """Pairs of points ``[N, 3]`` and the cloud's."""
        to_d, to = self.tree.query(points)
        back_d, back = cKDTree(points).query(self.x)
        return Pairs(to, to_d, back, back_d)

    def round(self, graph: Graph, sample: PointPool, *, damping: float) -> tuple[Graph, float]:
        """The graph after one more round, from a sample of its attractor, and that sample's Chamfer distance."""
        owner, p = sample.owner, self.pairs(sample.points)
        counts = np.maximum(np.bincount(owner, minlength=len(graph.maps)), 1)
        total = np.stack([np.bincount(owner, sample.sources[:, c], minlength=len(counts)) for c in range(3)], axis=1)
        mean = total / counts[:, None]
        maps = np.empty_like(graph.maps)
        solve_all(
            graph.maps, owner, sample.sources, mean, self.x, self.metric, self.spacing, p.to, p.to_d, p.back, p.back_d,
            damping, self.cap, self.far, maps,
        )  # fmt: skip
        # by the points of the cloud that a range is nearest to; what strays from the cloud dies out
        share = (np.bincount(owner[p.back], minlength=len(maps)) + 1.0) / (len(self.x) + len(maps))
        weights = graph.weights ** (1 - WEIGH) * share**WEIGH
        return Graph(maps, graph.domains, weights / weights.sum()), float(p.to_d.mean() + p.back_d.mean()) / 2
