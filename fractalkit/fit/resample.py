"""A denser sample of the surface or the twigs that a cloud is a sample of, by a smooth estimate of its density.

Where there are few points for each map, maps follow the accidents of the sample. New points are old ones displaced at
random by the covariance of their neighbourhood (P. Vincent and Y. Bengio, *Manifold Parzen windows*, 2003), and put
back onto the plane or the line of the neighbourhood where they come to lie. How far they are displaced is decided by
cross-validation: points made from one half of the cloud are compared with the other half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

WIDTHS = (0.0, 0.7, 1.4)  # standard deviations of displacements, in those of neighbourhoods
FEWEST = 1000  # points for which it is tried
_NEIGHBOURS = 12
_FLAT = 0.1  # variance across a neighbourhood over the largest, below which it counts as flat
_EQUAL = 1.02  # times the least distance is as good
_GAIN = 0.98  # of the distance without displacements, that must be reached


@dataclass(frozen=True)
class Neighbourhoods:
    """Means ``[N, 3]``, principal axes in columns ``[N, 3, 3]`` and variances ``[N, 3]``, rising, around points."""

    points: np.ndarray
    tree: cKDTree
    mean: np.ndarray
    axes: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray) -> Neighbourhoods:
        """Those of a cloud ``[N, 3]`` of more than twelve points."""
        tree = cKDTree(points)
        near = tree.query(points, k=_NEIGHBOURS + 1)[1]
        mean, axes, variance = np.empty_like(points), np.empty((len(points), 3, 3)), np.empty_like(points)
        for part in np.array_split(np.arange(len(points)), max(1, len(points) // 100_000)):
            x = points[near[part]]
            mean[part] = x.mean(axis=1)
            x = x - mean[part, None]
            variance[part], axes[part] = np.linalg.eigh(np.einsum("nki,nkj->nij", x, x) / (_NEIGHBOURS + 1))
        return cls(points, tree, mean, axes, np.maximum(variance, 0.0))

    def draw(self, count: int, width: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """New points ``[count, 3]``, and the old ones that they were made from ``[count]``, evenly."""
        n = len(self.points)
        origin = np.arange(count) % n
        origin[n * (count // n) :] = rng.permutation(n)[: count % n]
        if width == 0:
            return self.points[origin], origin
        push = width * np.sqrt(self.variance[origin]) * rng.standard_normal((count, 3))
        y = self.points[origin] + np.einsum("nij,nj->ni", self.axes[origin], push)
        there = self.tree.query(y)[1]
        off = np.einsum("nij,ni->nj", self.axes[there], y - self.mean[there])
        off[self.variance[there] >= _FLAT * self.variance[there, 2:]] = 0.0
        return y - np.einsum("nij,nj->ni", self.axes[there], off), origin


def smoothing(points: np.ndarray, rng: np.random.Generator, *, most: int = 20_000) -> float:
    """The width of WIDTHS by which new points of one half of a cloud ``[N, 3]`` are nearest to the other half.

    Of those that are about as good the largest, as it averages most; 0 where none is better than drawing old points.
    """
    some = points if len(points) <= most else points[rng.choice(len(points), most, replace=False)]
    some = some[rng.permutation(len(some))]
    half = len(some) // 2
    given, kept = Neighbourhoods.of(some[:half]), some[half:]
    tree = cKDTree(kept)

    def distance(width: float) -> float:
        y = given.points[rng.integers(half, size=half)] if width == 0 else given.draw(half, width, rng)[0]
        return float(tree.query(y)[0].mean() + cKDTree(y).query(kept)[0].mean())

    found = [distance(w) for w in WIDTHS]
    if min(found) >= _GAIN * found[0]:
        return 0.0
    return max(w for w, d in zip(WIDTHS, found, strict=True) if d < _EQUAL * min(found))
