"""Strays: the few points of a scan that lie far from all others, such as reflections, birds and floaters of splats."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

FEWEST = 50  # points of a cloud in which strays are looked for
_SHARE = 0.03  # of the points that are strays at most
_QUANTILE = 0.04  # of each coordinate, between which and its counterpart the bulk lies
# Distance from the bulk's box, and the gap to all other points, in diagonals of the box:
_LONE = (0.5, 0.25)  # of points with at most two others in the gap
_GROUP = (2.0, 1.0)  # of groups
_REACH = 1e4  # beyond this distance, in diagonals, all points are equally far


def strays(points: np.ndarray) -> np.ndarray:
    """Indices of the strays of a cloud ``[N, D]``, in order; none if there are fewer than 50 points.

    The bulk is the box between the 4 % and 96 % quantiles of each coordinate. A stray is farther from it than half its
    diagonal and has at most two other points within a quarter; or it is farther than two diagonals, and no chain of
    points with gaps of at most one leads to it. Where more than 3 % of the points were strays, they are a part of the
    cloud, and there are none. Points that are not finite are neither.

    >>> x = np.concatenate([np.random.default_rng(0).normal(size=(200, 2)), [[0, 99]]])
    >>> strays(x).tolist()
    [200]
    """
    none = np.zeros(0, np.int64)
    x = points.astype(np.float64) * 2.0**-8  # differences of finite numbers stay finite
    finite = np.isfinite(x).all(axis=1)
    if finite.sum() < FEWEST:
        return none
    low, high = np.quantile(x[finite], [_QUANTILE, 1 - _QUANTILE], axis=0)
    half = high / 2 - low / 2
    diagonal = 2 * float(np.linalg.norm(half / (half.max() or 1))) * float(half.max())
    if not 0 < diagonal < np.inf:
        return none
    with np.errstate(over="ignore"):
        z = ((x - (low / 2 + high / 2)) / diagonal).clip(-_REACH, _REACH)
    away = np.linalg.norm(np.maximum(np.abs(z) - half / diagonal, 0), axis=1)
    found = np.zeros(len(x), bool)
    for choose, (far, gap) in ((_lone, _LONE), (_apart, _GROUP)):
        others = np.flatnonzero(finite & ~found & (away > far))
        if len(others) > 4 * _SHARE * len(x):
            return none
        if len(others):
            bulk, _ = _thinned(z[finite & ~found & (away <= far)], gap / 16)
            found[others] = choose(bulk, z[others], gap)
    return np.flatnonzero(found) if found.sum() <= _SHARE * len(x) else none


def _lone(bulk: np.ndarray, others: np.ndarray, gap: float) -> np.ndarray:
    """Mask ``[M]`` of the others with at most two points within the gap, beside themselves."""
    both = np.concatenate([bulk, others])
    return cKDTree(both).query(others, k=4, distance_upper_bound=gap)[0][:, 3] > gap


def _apart(bulk: np.ndarray, others: np.ndarray, gap: float) -> np.ndarray:
    """Mask ``[M]`` of the others to which no chain with gaps of at most ``gap`` leads from the bulk."""
    few, cell = _thinned(others, gap / 16)
    reached = cKDTree(bulk).query(few, distance_upper_bound=gap)[0] <= gap
    tree = cKDTree(few)
    front = np.flatnonzero(reached)
    while len(front):
        lists = tree.query_ball_point(few[front], gap)
        touched = np.unique(np.concatenate([np.asarray(i, np.int64) for i in lists]))
        front = touched[~reached[touched]]
        reached[front] = True
    return ~reached[cell]


def _thinned(x: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """One point for each cell of a grid of that side, and the cell of each point ``[N]``."""
    places = np.floor(x / side).astype(np.int64) + (1 << 20)  # below 2^21, as sides are at least 1/64
    key = places @ (1 << 21 * np.arange(x.shape[1]))
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    return x[first], cell
