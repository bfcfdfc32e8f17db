"""Divide ranges that fit badly: what was one copy of a domain becomes two, of either part of it, each with a map.

A map that is good in the mean may bend a part of a large domain off the surface, or miss a part of its range. With two
maps the parts move independently, and both begin where the one map was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from fractalkit.fit.attractor import Graph, Pairs, PointPool

POWER = 4  # of distances in what a range owes: a few points far off count, not many a little off
_RIDGE = 1e-3  # keeps the corrections of parts with few points finite


@dataclass(frozen=True)
class DividedGraph:
    """A graph with the cell ``[R]`` that each of its ranges is of, in order; ranges of one cell cover it together."""

    graph: Graph
    cell: np.ndarray

    @classmethod
    def of(cls, graph: Graph) -> DividedGraph:
        """A graph of one range a cell."""
        return cls(graph, np.arange(len(graph.maps)))

    def divide(self, sample: PointPool, pairs: Pairs, x: np.ndarray, count: int) -> DividedGraph:
        """Divide at most ``count`` ranges: those with the largest sums of the fourth powers of distances.

        Args:
            sample, pairs: points of the attractor, paired with those of the cloud x ``[M, 3]``.
        """
        graph, r = self.graph, len(self.graph.maps)
        owes = np.bincount(sample.owner, pairs.to_d**POWER, minlength=r)
        owes += np.bincount(sample.owner[pairs.back], pairs.back_d**POWER, minlength=r)
        owes[np.diff(graph.domains)[:, 0] < 2] = 0.0
        chosen = np.argsort(-owes, kind="stable")[:count]
        chosen = np.sort(chosen[owes[chosen] > 0.0])
        point = np.concatenate([np.arange(len(sample.points)), pairs.back])
        goal = np.concatenate([x[pairs.to], x])
        first, second = graph.domains.copy(), graph.domains.copy()
        for k in chosen:
            rows = np.flatnonzero(sample.owner[point] == k)
            i = point[rows]
            low, high = graph.domains[k]
            cut = low + division(sample.sources[i], sample.origin[i] - low, goal[rows] - sample.points[i], high - low)
            first[k, 1] = second[k, 0] = cut
        times = np.ones(r, dtype=np.int64)
        times[chosen] = 2
        start = np.concatenate([[0], np.cumsum(times)])
        old = np.repeat(np.arange(r), times)
        domains = np.where((np.arange(len(old)) > start[old])[:, None], second[old], first[old])
        # the parts of a copy have the mass that the parts of its domain have
        mass = np.concatenate([[0.0], np.cumsum(graph.weights)])
        part, whole = (mass[d[:, 1]] - mass[d[:, 0]] for d in (domains, graph.domains[old]))
        weights = graph.weights[old] * part / whole
        divided = Graph(graph.maps[old].copy(), start[domains], weights / weights.sum())
        return DividedGraph(divided, self.cell[old])

    def with_graph(self, graph: Graph) -> DividedGraph:
        """Another graph of the same ranges."""
        return replace(self, graph=graph)

    def shares(self, points: np.ndarray, starts: np.ndarray, sample: PointPool) -> tuple[np.ndarray, np.ndarray]:
        """The points ``[N, 3]`` in the order of ranges, each with its nearest range of its cell, and ends ``[R + 1]``.

        Cell c has the points starts[c] to starts[c + 1]; every range gets one at least, if its cell has enough.
        """
        points, sizes = points.copy(), np.diff(starts)[self.cell]
        for c in np.flatnonzero(np.bincount(self.cell) > 1):
            ranges = np.flatnonzero(self.cell == c)
            low, high = starts[c], starts[c + 1]
            near = np.flatnonzero((sample.owner >= ranges[0]) & (sample.owner <= ranges[-1]))
            mine = sample.owner[near[cKDTree(sample.points[near]).query(points[low:high])[1]]] - ranges[0]
            for k in range(len(ranges)):
                if not (mine == k).any():
                    mine[np.argmax(mine == np.bincount(mine).argmax())] = k
            points[low:high] = points[low:high][np.argsort(mine, kind="stable")]
            sizes[ranges] = np.bincount(mine, minlength=len(ranges))
        return points, np.concatenate([[0], np.cumsum(sizes)])


def division(source: np.ndarray, origin: np.ndarray, residual: np.ndarray, length: int) -> int:
    """Where to cut a domain of ``length`` ranges, 1 to length - 1, so that affine corrections explain most.

    Args:
        source: ``[N, 3]``, points of the domain.
        origin: ``[N]``, the ranges they belong to, from 0.
        residual: ``[N, 3]``, the errors of their images; each part of the domain gets a correction by least squares.
    """
    centred = source - source.mean(axis=0)
    h = np.column_stack([centred / max(float(centred.std()), 1e-300), np.ones(len(source))])
    # sums over the ranges before a cut; those behind it are the rest
    left, right = np.zeros((length, 4, 4)), np.zeros((length, 4, 3))
    np.add.at(left, origin, h[:, :, None] * h[:, None, :])
    np.add.at(right, origin, h[:, :, None] * residual[:, None, :])
    left, right = np.cumsum(left, axis=0), np.cumsum(right, axis=0)
    explained = np.zeros(length - 1)
    for a, b in ((left[:-1], right[:-1]), (left[-1] - left[:-1], right[-1] - right[:-1])):
        solved = np.linalg.solve(a + _RIDGE * len(source) * np.eye(4), b)
        explained += (b * solved).sum(axis=(1, 2))
    return 1 + int(explained.argmax())
