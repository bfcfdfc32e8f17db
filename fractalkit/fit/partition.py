"""Ranges and domains of a cloud: which cells to split, and of which larger cell each leaf is a copy."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from fractalkit.fit.attractor import Graph
from fractalkit.fit.cells import Cells
from fractalkit.fit.matching import match

FIRST = 16  # leaves before the worst one is split
GROWTH, LARGEST = 1.5, 40.0  # a domain has from GROWTH to LARGEST times as many points as the range
LEAST_GROWTH = 1.2  # the least when all domains are there to choose from
MANY = 1024  # ranges beyond which runs are
LONGEST_RUN, SHORTER_RUN = 12, 5  # leaves of a run
CLASSES = 5  # of sizes, each twice the one before, that domains are sought in


@dataclass(frozen=True)
class Search:
    """How hard to search for the domain of a range."""

    candidates: int  # domains whose orientations are scored
    kept: int  # pairs of domain and orientation that are registered
    rounds: int  # of their registration
    points: int  # of a cell that are used for it
    polished: int = 1  # pairs whose registration goes on
    polish: int = 0  # rounds of that


class Partition:
    """The ranges of a collage: leaves of a tree, each with a domain and a map ``[3, 4]`` from it.

    Args:
        cells: the tree, of one cell; it is split.
        rng: the random generator of the search.
        cap: largest norm of a map.
    """

    def __init__(self, cells: Cells, rng: np.random.Generator, *, cap: float) -> None:
        self.cells, self.rng, self.cap = cells, rng, cap
        self.domain = np.zeros(len(cells.bounds), dtype=np.int64)
        self.maps = np.zeros((len(cells.bounds), 3, 4))
        self.error = np.full(len(cells.bounds), np.inf)

    def grow(self, ranges: int, search: Search, tick: Callable[[float], None]) -> None:
        """Split leaves until there are as many as asked for, always the one whose error times its points is largest."""
        cells = self.cells
        leaves = [0]
        while len(leaves) < min(FIRST, ranges):
            cell = max(leaves, key=cells.size)
            leaves.remove(cell)
            leaves.extend(cells.split(cell))
        heap: list[tuple[float, int]] = []
        pool = _Pool(self)
        for cell in leaves:
            self._find(cell, pool, search)
            heapq.heappush(heap, (self._urgency(cell), cell))
        while len(heap) < ranges:
            urgency, cell = heapq.heappop(heap)
            if urgency >= 0.0:
                break
            for half in cells.split(cell):
                self._find(half, pool, search)
                heapq.heappush(heap, (self._urgency(half), half))
            tick(len(heap) / ranges)

    def _urgency(self, cell: int) -> float:
        n = self.cells.size(cell)
        return -self.error[cell] * n if n > 1 else 0.0

    def choose(self, search: Search, tick: Callable[[float], None]) -> None:
        """Search again for the domain of every leaf, among all cells and all short runs of leaves."""
        self.cells.add_runs(LONGEST_RUN if len(self.cells.leaves()) <= MANY else SHORTER_RUN)
        pool = _Runs(self)
        leaves = self.cells.leaves()
        for k, cell in enumerate(leaves):
            self._find(cell, pool, search)
            tick(k / len(leaves))

    def graph(self) -> Graph:
        """The ranges in the order of the points; each domain is given as an interval of ranges."""
        bounds, leaves = self.cells.bounds, self.cells.leaves()
        starts = bounds[leaves, 0]
        domains = np.searchsorted(starts, bounds[self.domain[leaves]])
        weights = (bounds[leaves, 1] - starts) / len(self.cells.points)
        return Graph(self.maps[leaves].copy(), domains, weights)

    def _find(self, cell: int, pool: _Pool | _Runs, search: Search) -> None:
        cells = self.cells
        candidates = pool.candidates(cell, search.candidates)
        if not len(candidates) or cells.size(cell) == 1:
            self.domain[cell], self.maps[cell], self.error[cell] = 0, 0.0, cells.std[cell, 0]
            self.maps[cell, :, 3] = cells.mean[cell]
            return
        m, domain, error = match(
            cell, candidates, cells.points, cells.metric, cells.bounds, cells.mean, cells.axes, cells.std, cells.white,
            cells.spacing, search.kept, search.rounds, search.polished, search.polish, search.points, self.cap,
        )  # fmt: skip
        if error < self.error[cell]:
            self.maps[cell], self.domain[cell], self.error[cell] = m, domain, error


class _Pool:
    """Cells by depth, with their shapes, to find those that can be copied onto a given one."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.trees: dict[int, tuple[cKDTree, np.ndarray]] = {}

    def _tree(self, depth: int) -> tuple[cKDTree, np.ndarray]:
        """The shapes of the cells of a depth, computed anew whenever their number has grown by a quarter."""
        cells = self.partition.cells
        there = cells.levels[depth]
        known = self.trees.get(depth)
        if known is None or len(there) > 1.25 * len(known[1]):
            index = np.array(there)
            known = self.trees[depth] = (cKDTree(cells.shape[index]), index)
        return known

    def candidates(self, cell: int, count: int) -> np.ndarray:
        """Cells of the right sizes that may be domains: those whose shapes are most similar, and a few at random."""
        p = self.partition
        cells, depth = p.cells, int(p.cells.depth[cell])
        found: list[np.ndarray] = []
        for up in range(1, 6):
            if up > depth:
                break
            tree, there = self._tree(depth - up)
            near = tree.query(cells.shape[cell], k=min(max(count // 4, 2), len(there)))[1]
            found.append(there[np.atleast_1d(near)])
            found.append(there[p.rng.integers(len(there), size=2)])
        if not found:
            return np.zeros(0, dtype=np.int64)
        found.append(np.array(cells.above(cell)[:5], dtype=np.int64))
        return _allowed(p, cell, np.unique(np.concatenate(found)), GROWTH)


class _Runs:
    """Cells and runs of leaves by size, with their shapes, once the leaves are final."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        cells = partition.cells
        inner = np.append(
            np.flatnonzero(cells.children[: cells.count, 0] >= 0), np.arange(cells.count, len(cells.bounds))
        )
        self.size = cells.bounds[:, 1] - cells.bounds[:, 0]
        classes = np.log2(np.maximum(self.size[inner], 1)).astype(int)
        self.trees = {}
        for k in np.unique(classes):
            index = inner[classes == k]
            self.trees[int(k)] = cKDTree(cells.shape[index]), index

    def candidates(self, cell: int, count: int) -> np.ndarray:
        """Cells and runs that may be domains: of each size those whose shapes are most similar."""
        p = self.partition
        cells, n = p.cells, p.cells.size(cell)
        least = int(np.log2(LEAST_GROWTH * n))
        found = [np.array(cells.above(cell)[:5], dtype=np.int64)]
        for k in range(least, least + CLASSES):
            if k in self.trees:
                tree, there = self.trees[k]
                most = count // 2 if k < least + 2 else count // 4
                near = tree.query(cells.shape[cell], k=min(max(most, 2), len(there)))[1]
                found.append(there[np.atleast_1d(near)])
        return _allowed(p, cell, np.unique(np.concatenate(found)), LEAST_GROWTH)


def _allowed(p: Partition, cell: int, domains: np.ndarray, growth: float) -> np.ndarray:
    """Those of some domains that are of the right size for a cell, and long enough if any is."""
    cells, n = p.cells, p.cells.size(cell)
    size = cells.bounds[domains, 1] - cells.bounds[domains, 0]
    domains = domains[(size >= growth * n) & (size <= LARGEST * n)]
    # what is shorter than the cell cannot be contracted to it
    long = (p.cap * cells.std[domains, :2] >= 0.97 * cells.std[cell, :2]).all(axis=1)
    return domains[long] if long.any() else domains
