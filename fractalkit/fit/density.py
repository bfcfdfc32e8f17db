"""Fit a code by the density of its attractor on grids, coarse ones first.

Chamfer distances ask only whether a point is near; two codes with one support and different measures are the same to
them, and a map that lies within the support has no gradient. On a grid the masses q of the attractor and those of the
cloud, m, are compared by the Hellinger distance Σ (√q - √m)², whose residuals have the same variance in every cell of a
sample (Freeman and Tukey, 1950). Levenberg-Marquardt steps lower it by all maps and weights together, through the orbit
at several depths. A coarse grid sees far, and a fine one brings accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fractalkit.fit.density_kernels import jacobian, spread, walk
from fractalkit.fit.search import clip_maps
from fractalkit.fit.target import Target

DEPTH = 8  # letters of the address of a point of the attractor
BURN = (40, 400)  # letters before them, least and most, which bring a point to the attractor
_SETTLED = 8.0  # logarithm of the contraction that they make
JDEPTH = 6  # letters that a step changes, and that are spread evenly
SIDES = {2: (16, 32, 64), 3: (10, 16, 22)}
_BORDER = 1.5  # cells around the cloud


@dataclass(frozen=True)
class Level:
    """One grid: cells along each axis, the affine map from points to cells ``[3, 4]``, and the cloud's masses."""

    side: int
    frame: np.ndarray
    mass: np.ndarray
    floor: float  # Hellinger distance of the cloud from the measure that it is a sample of, about

    def cells(self, points: np.ndarray, dim: int) -> np.ndarray:
        """Index ``[N]`` of the cell that each point ``[N, 3]`` is nearest to."""
        at = np.rint(points[:, :dim] @ self.frame[:dim, :dim].T + self.frame[:dim, 3]).astype(np.int64)
        return np.ravel_multi_index(tuple(np.clip(at, 0, self.side - 1).T), (self.side,) * dim)


@dataclass(frozen=True)
class Placed:
    """A code ``maps [K, 3, 4]``, ``weights [K]`` on a level: its cells' masses, their distance, and what made them."""

    maps: np.ndarray
    weights: np.ndarray
    mass: np.ndarray  # [cells]
    distance: float
    path: tuple[Any, ...]  # addresses and orbits, or images of images


class Pace:
    """Damping of Gauss-Newton steps (Levenberg and Marquardt), and when to end them."""

    def __init__(self) -> None:
        self._damping, self._small = 0.03, 0

    def move(self, normal: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The damped step ``[P]`` of normal equations ``[P, P]`` and ``[P]``."""
        scale = np.diag(normal)
        a = normal.copy()
        a[np.diag_indices_from(a)] += self._damping * scale + 1e-6 * scale.mean() + 1e-12
        return np.linalg.solve(a, right)

    def gained(self, gain: float, whole: float) -> bool:
        """Damp less after a step that gained so much; whether the second step in turn gained next to nothing."""
        self._damping = max(self._damping / 4, 1e-4)
        self._small = self._small + 1 if gain < 2e-3 * whole else 0
        return self._small == 2

    def lost(self) -> bool:
        """Damp more after a step that gained nothing; whether steps have become too short."""
        self._damping *= 5
        return self._damping > 1e3


class Density:
    """Grids over a target and steps of refinement towards its masses; for two and three dimensions."""

    filled = False  # whether each place counts once, as in :mod:`.filled`

    def __init__(self, target: Target, *, cap: float, isotropy: float = 0.0, orbits: int = 6000, seed: int = 0) -> None:
        self.target, self.cap, self.isotropy = target, cap, isotropy
        self.dim = target.dim
        rng = np.random.default_rng(seed)
        # floats of a small or uneven attractor coincide, most where it is dense
        self.points = np.repeat(target.lookup.points, target.counts, axis=0)
        self.order = rng.permutation(len(self.points))
        self.starts = self.points[self.order]
        self.centre = self.points.mean(axis=0, keepdims=True)
        least, most = BURN
        self.shifts = rng.random(DEPTH + least)
        # the additive recurrence of the generalised golden ratio for the letters that matter most
        ratio = 2.0
        for _ in range(60):
            ratio = (1 + ratio) ** (1 / (JDEPTH + 1))
        self.jumps = np.concatenate([ratio ** -np.arange(1.0, JDEPTH + 1), rng.random(DEPTH + least - JDEPTH)])
        self.shifts, self.jumps = (np.append(v, rng.random(most - least)) for v in (self.shifts, self.jumps))
        self.orbits = orbits
        self.levels = [self._level(side) for side in SIDES[self.dim]]

    def _level(self, side: int) -> Level:
        z = self.points[:, : self.dim]
        axes = np.linalg.eigh(np.cov(z.T))[1].T
        along = z @ axes.T
        low, high = along.min(axis=0), along.max(axis=0)
        scale = (side - 1 - 2 * _BORDER) / (high - low)
        frame = np.zeros((3, 4))
        frame[: self.dim, : self.dim] = axes * scale[:, None]
        frame[: self.dim, 3] = _BORDER - low * scale
        halves = []
        for part in (self.order[::2], self.order[1::2]):
            mass = np.zeros(side**self.dim)
            spread(self.points[part], 1.0 / len(part), frame, self.dim, side, mass)
            halves.append(mass)
        mass = (halves[0] + halves[1]) / 2
        floor = float(((np.sqrt(halves[0]) - np.sqrt(halves[1])) ** 2).sum()) / 4
        return Level(side, frame, mass, floor)

    def orbit(
        self, maps: np.ndarray, weights: np.ndarray, count: int | None = None, depth: int = DEPTH
    ) -> tuple[np.ndarray, np.ndarray]:
        """Addresses ``[M, L]`` and orbits ``[M, L + 1, 3]``.

        Short orbits start from points of the cloud, which stand for those of the attractor. Full ones start from its
        centre, so that a map close to the identity cannot pass the cloud off as its attractor.
        """
        full = depth == DEPTH
        start = self.centre if full else self.starts
        count = count or self.orbits
        address = np.empty((count, depth), np.int64)
        z = np.empty((count, depth + 1, 3))
        cumulative = np.cumsum(weights / weights.sum())
        letters = DEPTH + burn_in(maps, weights) if full else depth
        walk(maps, cumulative, start, self.shifts, self.jumps[:letters], address, z)
        return address, z

    def pieces(self, maps: np.ndarray, points: np.ndarray, level: Level) -> np.ndarray:
        """Masses ``[H, cells]`` of the images of points ``[N, 3]`` under maps ``[H, 3, 4]``, one in all for each."""
        psi = np.zeros((len(maps), len(level.mass)))
        for m, row in zip(maps, psi, strict=True):
            image = points @ m[:, :3].T + m[:, 3]
            spread(image, 1 / len(image), level.frame, self.dim, level.side, row)
        return psi

    def joined(self, psi: np.ndarray, weights: np.ndarray, level: Level) -> np.ndarray:
        """Masses ``[cells]`` of pieces ``[K, cells]`` of these weights together."""
        return np.asarray(weights @ psi)

    def room(self, kept: np.ndarray, level: Level) -> np.ndarray:
        """Share ``[cells]`` of further mass that counts where masses ``kept`` are already."""
        return np.ones_like(level.mass)

    def likely(self, psi: np.ndarray, level: Level, steps: int = 30) -> np.ndarray:
        """Weights ``[K]`` of pieces ``[K, cells]`` that make the target's masses most likely."""
        return likely_weights(psi, level.mass, steps)

    def shares(self, psi: np.ndarray, kept: np.ndarray, level: Level) -> np.ndarray:
        """Weights ``[H]`` of pieces, each of which is added to masses ``kept``.

        They are those of least squares with the variances of counts.
        """
        inverse = 1 / (level.mass + kept + 1 / len(self.points))
        return np.clip(psi @ ((level.mass - kept) * inverse) / np.maximum((psi * psi) @ inverse, 1e-12), 1e-3, 1.0)

    def expected(self, level: int, orbits: int) -> float:
        """Hellinger distance, at a level, that so many orbits of the true code would have."""
        return self.levels[level].floor * (1 + len(self.points) / orbits)

    def masses(self, z: np.ndarray, level: Level) -> np.ndarray:
        """Masses of the cells, one in all, for orbits z."""
        q = np.zeros_like(level.mass)
        spread(z[:, 0], 1.0 / len(z), level.frame, self.dim, level.side, q)
        return q

    def misfit(self, maps: np.ndarray, weights: np.ndarray) -> float:
        """Root of the Hellinger distance at the finest level over that of a sample of the truth, about 1 for it."""
        n = len(self.points)
        return float(np.sqrt(self.distance(maps, weights, -1, n) / self.expected(-1, n)))

    def weigh(self, maps: np.ndarray) -> np.ndarray:
        """The most likely weights ``[K]``, at least 1/1000, of maps ``[K, 3, 4]`` of the cloud into itself."""
        level = self.levels[-1]
        psi = self.pieces(maps, self.points[self.order[:4000]], level)
        weights = np.maximum(self.likely(psi, level), 1e-3)
        return weights / weights.sum()

    def distance(self, maps: np.ndarray, weights: np.ndarray, level: int = -1, count: int | None = None) -> float:
        """Hellinger distance, of squares, at a level."""
        grid = self.levels[level]
        q = self.masses(self.orbit(maps, weights, count)[1], grid)
        return float(((np.sqrt(q) - np.sqrt(grid.mass)) ** 2).sum())

    def refine(
        self,
        maps: np.ndarray,
        weights: np.ndarray,
        *,
        levels: tuple[int, ...],
        steps: int,
        orbits: int | None = None,
        depth: int = DEPTH,
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Refine maps ``[K, 3, 4]`` and weights ``[K]`` level by level; also the distance at the last one."""
        maps, weights, f = maps.copy(), weights / weights.sum(), np.inf
        for i in levels:
            maps, weights, f = self._descend(maps, weights, self.levels[i], steps, orbits or self.orbits, depth)
        return maps, weights, f

    def _descend(
        self, maps: np.ndarray, weights: np.ndarray, level: Level, steps: int, orbits: int, depth: int
    ) -> tuple[np.ndarray, np.ndarray, float]:
        k, d = len(maps), self.dim
        size = d * (d + 1) + 1
        root = np.sqrt(level.mass)
        now = self._placed(maps, weights, level, orbits, depth)
        pace, fresh = Pace(), True
        for _ in range(steps):
            if fresh:
                j = self._slopes(now, level)
                right = ((root - np.sqrt(now.mass)) @ j).astype(np.float64)
                normal = (j.T @ j).astype(np.float64)
            move = pace.move(normal, right).reshape(k, size)
            new = now.maps.copy()
            new[:, :d, :d] += move[:, :-1].reshape(k, d, d + 1)[:, :, :d]
            new[:, :d, 3] += move[:, :-1].reshape(k, d, d + 1)[:, :, d]
            clip_maps(new, d, self.cap, self.isotropy)
            w = now.weights
            if not self.filled:
                w = np.maximum(w * np.exp(np.clip(move[:, -1], -1.0, 1.0)), 1e-4)
                w /= w.sum()
            trial = self._placed(new, w, level, orbits, depth)
            fresh = trial.distance < now.distance
            if fresh:
                ended = pace.gained(now.distance - trial.distance, trial.distance)
                now = trial
            else:
                ended = pace.lost()
            if ended:
                break
        return now.maps, now.weights, now.distance

    def _placed(self, maps: np.ndarray, weights: np.ndarray, level: Level, orbits: int, depth: int) -> Placed:
        """A code on a level, through orbits whose letters count as in :meth:`orbit`."""
        path = self.orbit(maps, weights, orbits, depth)
        return self._compared(maps, weights, level, self.masses(path[1], level), path)

    def _compared(
        self, maps: np.ndarray, weights: np.ndarray, level: Level, mass: np.ndarray, path: tuple[Any, ...]
    ) -> Placed:
        gap = float(((np.sqrt(mass) - np.sqrt(level.mass)) ** 2).sum())
        return Placed(maps, weights, mass, gap, path)

    def _slopes(self, now: Placed, level: Level) -> np.ndarray:
        """Derivative ``[cells, K (D (D + 1) + 1)]`` of the roots of the masses by the maps and by log-weights."""
        address, z = now.path
        size = self.dim * (self.dim + 1) + 1
        least = 0.25 / len(z)  # of a cell's mass, so that its root has a bounded slope
        letters = min(JDEPTH, address.shape[1])
        j = np.zeros((len(now.mass), len(now.maps) * size), np.float32)
        jacobian(now.maps, self.dim, address, z, letters, level.frame, level.side, j)
        j[:, size - 1 :: size] -= letters * np.outer(now.mass, now.weights)
        j /= 2 * np.sqrt(now.mass + least)[:, None]
        return j


def burn_in(maps: np.ndarray, weights: np.ndarray) -> int:
    """Letters after which an orbit of maps ``[K, 3, 4]`` forgets where it began, within :data:`BURN`."""
    norms = np.linalg.norm(maps[:, :, :3], ord=2, axis=(1, 2))
    rate = -float(weights @ np.log(np.maximum(norms, 1e-3))) / float(weights.sum())
    least, most = BURN
    return most if rate * most <= _SETTLED else max(least, int(np.ceil(_SETTLED / rate)))


def likely_weights(psi: np.ndarray, mass: np.ndarray, steps: int = 30) -> np.ndarray:
    """Weights ``[K]`` of masses ``psi [K, cells]`` whose mixture makes ``mass [cells]`` most likely, by EM."""
    w = np.full(len(psi), 1 / len(psi))
    for _ in range(steps):
        w = w * (psi @ (mass / np.maximum(w @ psi, 1e-9)))
        w = np.maximum(w, 1e-6)
        w /= w.sum()
    return w
