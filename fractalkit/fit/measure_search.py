"""Global search for a code by the density of its attractor.

A code starts from cells of the cloud: the moments of a cell determine the map that makes the cloud into it up to a
rotation (in coordinates in which both are white), so flat maps are as easy as round ones. Then one map after the other
is dropped, and what the others leave unexplained proposes its successor. The images of the cloud itself stand for those
of the attractor, so that a right map is right whatever the others are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fractalkit.fit.density import Density, Level, likely_weights
from fractalkit.fit.density_kernels import gaps_with, settle, spread
from fractalkit.fit.search import clip_maps

_TURNS = {2: 16, 3: 48}  # rotations tried, each also with a reflection
_DEPTH = 6  # letters of the orbits, which start in the cloud, while the search goes on
_ORBITS = (2500, 5000)
_WINDOWS = 6  # proposed a drop
_TRIED = 6  # successors refined by themselves a drop
_ARCHIVE = 400
_STAGES = ((0, 1), (1, 2))  # levels of the search
_FEW, _SOME = 800, 1500  # points of the cloud whose images are drawn


class Archive:
    """Maps ``[H, 3, 4]`` with the masses of the cloud's images under them, ``[H, cells]`` for each level."""

    def __init__(self, density: Density, points: np.ndarray) -> None:
        self.density, self.points = density, points
        self.maps = np.zeros((0, 3, 4))
        self.size = np.zeros(0)  # norms
        self.masses = [np.zeros((0, len(density.levels[i].mass)), np.float32) for i in range(3)]

    def __len__(self) -> int:
        return len(self.maps)

    def add(self, maps: np.ndarray, *, most: int | None = None) -> None:
        """Add maps and keep the last ``most``."""
        first = 0 if most is None else max(len(self) + len(maps) - most, 0)
        self.maps = np.concatenate([self.maps, maps])[first:]
        size = np.linalg.norm(maps[:, :, :3], ord=2, axis=(1, 2))
        self.size = np.concatenate([self.size, size])[first:]
        for i in range(3):
            level = self.density.levels[i]
            new = np.zeros((len(maps), len(level.mass)))
            for m, row in zip(maps, new, strict=True):
                image = self.points @ m[:, :3].T + m[:, 3]
                spread(image, 1 / len(image), level.frame, self.density.dim, level.side, row)
            self.masses[i] = np.concatenate([self.masses[i], new.astype(np.float32)])[first:]

    def fits(self, kept: np.ndarray, index: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hellinger distance and weight, ``[A]`` both, of the allowed maps when added to masses ``kept``.

        The weight is that of least squares with the variances of counts.
        """
        level = self.density.levels[index]
        psi = self.masses[index][allowed]
        inverse = 1 / (level.mass + kept + 1 / len(self.density.points))
        share = psi @ ((level.mass - kept) * inverse) / np.maximum((psi * psi) @ inverse, 1e-12)
        share = np.clip(share, 1e-3, 1.0)
        q = np.sqrt(kept.astype(np.float32) + share[:, None].astype(np.float32) * psi)
        return 1 + kept.sum() + share - 2 * (q @ np.sqrt(level.mass)), share

    def weights(self, chosen: np.ndarray, index: int) -> np.ndarray:
        """Weights ``[K]`` of the chosen maps that make the cloud's masses most likely."""
        return likely_weights(self.masses[index][chosen].astype(np.float64), self.density.levels[index].mass)

    def choose(self, k: int, index: int, rng: np.random.Generator) -> np.ndarray:
        """Indices ``[k]`` of maps that explain the cloud's masses together: a random greedy choice and swaps."""
        allowed = np.flatnonzero(self.size <= rng.choice([1.0, 0.9, 0.75, 0.6]))
        allowed = allowed if len(allowed) >= 3 * k else np.arange(len(self))
        psi = self.masses[index]
        chosen = np.zeros(0, np.int64)
        weights = np.zeros(0)
        for _ in range(k):
            gaps = self.fits(weights @ psi[chosen], index, allowed)[0]
            order = np.argsort(gaps)
            new = allowed[order[min(int(rng.exponential(1.0)), len(order) - 1)]]
            chosen = np.append(chosen, new)
            weights = self.weights(chosen, index) * min(1.0, (len(chosen) + 1) / (k + 1))
        for _ in range(2):
            for i in range(k):
                kept = np.delete(weights, i) @ psi[np.delete(chosen, i)]
                chosen[i] = allowed[np.argmin(self.fits(kept, index, allowed)[0])]
                weights = self.weights(chosen, index)
        return chosen


@dataclass(frozen=True)
class Measured:
    """A code ``maps [K, 3, 4]``, ``weights [K]`` and its Hellinger distance at the search's finest level."""

    maps: np.ndarray
    weights: np.ndarray
    distance: float


class MeasureSearch:
    """Codes of a given number of maps whose measure is that of the target; deterministic in ``rng``."""

    def __init__(self, density: Density, rng: np.random.Generator) -> None:
        self.density, self.rng = density, rng
        self.dim = d = density.dim
        self.points = density.points
        z = self.points[:, :d]
        self.mean = z.mean(axis=0)
        self.white = np.linalg.inv(_root(np.cov(z.T) + 1e-12 * np.eye(d)))
        order = density.order
        self.few, self.some = self.points[order[:_FEW]], self.points[order[-_SOME:]]
        self.turns = _rotations(d)
        self.archive = Archive(density, self.some)  # maps of earlier codes
        self.pool = Archive(density, self.some)  # maps from elsewhere
        self.stage = 0
        self.front: list[Measured] = []

    @property
    def levels(self) -> tuple[int, int]:
        """Levels on which codes are refined; the second one judges them."""
        return _STAGES[self.stage]

    def excess(self, code: Measured) -> float:
        """Distance of a code over that of a sample of the true one."""
        return code.distance / self.density.expected(self.levels[1], _ORBITS[self.stage])

    # ---- proposals

    def shaped(self, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Maps ``[R, 3, 4]``, one for each rotation, that give the cloud this mean and covariance."""
        d = self.dim
        maps = np.zeros((len(self.turns), 3, 4))
        maps[:, :d, :d] = _root(covariance) @ self.turns @ self.white
        clip_maps(maps, d, self.density.cap, self.density.isotropy)
        maps[:, :d, 3] = mean - maps[:, :d, :d] @ self.mean
        return maps

    def windows(self, need: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """Mean, covariance and mass of random parts of the cloud, whose points count by ``need [N]``.

        The first one is all that is needed. The others grow from a random point into an ellipsoid that fits what it
        holds.
        """
        index = np.flatnonzero(need > 0.05)
        if len(index) < 20:
            return []
        if len(index) > 4000:
            index = self.rng.choice(index, 4000, replace=False)
        z, w = self.points[index, : self.dim], need[index]
        share = need.mean() / w.sum()
        found = []
        for n in range(count):
            held = w if n == 0 else self._grown(z, w)
            if held.sum() >= 15:
                mean, covariance = _moments(z, held)
                found.append((mean, covariance, max(share * float(held.sum()), 1e-3)))
        return found

    def _grown(self, z: np.ndarray, w: np.ndarray) -> np.ndarray:
        mean = z[self.rng.choice(len(z), p=w / w.sum())]
        covariance = np.eye(self.dim) * np.exp(self.rng.uniform(np.log(0.04), np.log(0.4))) ** 2
        held = w
        for _ in range(3):
            away = z - mean
            held = w * (np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away) < 4)
            if held.sum() < 15:
                break
            mean, covariance = _moments(z, held)
            covariance *= 2.0
        return held

    def start(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """A code of k maps ``[K, 3, 4]`` and weights ``[K]`` from cells about k random centres of the white cloud."""
        z = self.points[:, : self.dim] @ self.white.T
        centres = z[self.rng.integers(len(z))][None]
        while len(centres) < k:
            far = ((z[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
            centres = np.concatenate([centres, z[self.rng.choice(len(z), p=far / far.sum())][None]])
        for _ in range(3):
            cell = ((z[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
            centres = np.array([z[cell == i].mean(axis=0) if (cell == i).any() else centres[i] for i in range(k)])
        maps, weights = np.zeros((k, 3, 4)), np.zeros(k)
        for i in range(k):
            maps[i], weights[i] = self._fill(np.flatnonzero(cell == i))
        return maps, weights / weights.sum()

    def _fill(self, cell: np.ndarray) -> tuple[np.ndarray, float]:
        """A map onto the points with these indices, one of the best few orientations, and their mass."""
        level = self.density.levels[0]
        if len(cell) < 10:
            cell = self.rng.choice(len(self.points), 10)
        share = len(cell) / len(self.points)
        maps = self.shaped(*_moments(self.points[cell, : self.dim], np.ones(len(cell))))
        aim = np.zeros_like(level.mass)
        spread(self.points[cell], 1 / len(self.points), level.frame, self.dim, level.side, aim)
        gaps = gaps_with(
            maps, np.full(len(maps), share), self.few, np.zeros_like(aim), np.sqrt(aim), level.frame, self.dim,
            level.side,
        )  # fmt: skip
        return maps[np.argsort(gaps)[0 if self.rng.random() < 0.6 else self.rng.integers(4)]], share

    def explained(self, maps: np.ndarray, weights: np.ndarray, level: Level) -> np.ndarray:
        """Masses of the cells that the images of the cloud under some maps account for."""
        q = np.zeros_like(level.mass)
        for m, w in zip(maps, weights, strict=True):
            spread(self.some @ m[:, :3].T + m[:, 3], w / len(self.some), level.frame, self.dim, level.side, q)
        return q

    def _need(self, kept: np.ndarray, level: Level) -> np.ndarray:
        """Part of each cell's mass, 0 to 1, that masses ``kept`` lack by more than the noise of counts."""
        sigmas = 2 * np.sqrt(len(self.points)) * (np.sqrt(level.mass) - np.sqrt(kept))
        return np.clip(1 - kept / np.maximum(level.mass, 1e-12), 0, 1) * np.clip((sigmas - 1) / 2, 0, 1)

    def successors(self, maps: np.ndarray, weights: np.ndarray, index: int) -> list[tuple[float, np.ndarray, float]]:
        """Distance, map and weight of the best maps to add to maps ``[K - 1, 3, 4]``, best first."""
        level = self.density.levels[index]
        kept = self.explained(maps, weights, level)
        cell = level.cells(self.points, self.dim)
        need = self._need(kept, level)[cell]
        proposed = [(self.shaped(mean, c), mass) for mean, c, mass in self.windows(need, _WINDOWS)]
        grid = (kept, np.sqrt(level.mass), level.frame, self.dim, level.side)
        new, share, gaps = [], [], []
        for shaped, part in proposed:
            new.append(shaped)
            share.append(np.full(len(shaped), part))
            gaps.append(gaps_with(shaped, share[-1], self.few, *grid))
        for known in (self.archive, self.pool):
            if len(known):
                gap, mass = known.fits(kept, index, np.arange(len(known)))
                order = np.argsort(gap)[:100]
                new.append(known.maps[order])
                share.append(mass[order])
                gaps.append(gap[order])
        if not new:
            return []
        candidates, weight = np.concatenate(new), np.concatenate(share)
        best = self._distinct(candidates, np.concatenate(gaps))
        found, weight = candidates[best], weight[best]
        gap = settle(found, weight, self.some, *grid, 10, self.density.cap)
        return [(float(gap[i]), found[i], float(weight[i])) for i in np.argsort(gap)]

    def _distinct(self, maps: np.ndarray, gaps: np.ndarray) -> list[int]:
        """Indices of the best few maps that differ."""
        order = np.argsort(gaps)[:400]
        best: list[int] = []
        for i in order:
            if all(np.abs(maps[i] - maps[j]).max() > 0.05 for j in best):
                best.append(int(i))
                if len(best) == _TRIED:
                    break
        return best

    # ---- the search

    def refined(self, maps: np.ndarray, weights: np.ndarray, levels: tuple[int, ...] | None = None) -> Measured:
        """Refine all maps and weights on the search's grids, and remember the maps."""
        found = self.density.refine(
            maps, weights, levels=levels or self.levels, steps=15, orbits=_ORBITS[self.stage], depth=_DEPTH
        )
        self.archive.add(found[0], most=_ARCHIVE)
        return Measured(*found)

    def hop(self, code: Measured) -> Measured | None:
        """Drop maps, one at a time, let what the others leave unexplained propose successors, and refine the best."""
        k = len(code.maps)
        index = self.levels[int(self.rng.integers(2))]
        drops = self.rng.permutation(k)
        if self.rng.random() < 0.7:
            drops = drops[:2]
        found = []
        for drop in drops:
            maps, weights = np.delete(code.maps, drop, axis=0), np.delete(code.weights, drop)
            for gap, m, w in self.successors(maps, weights, index)[:2]:
                found.append((gap, np.concatenate([maps, m[None]]), np.append(weights, w)))
        found.sort(key=lambda f: f[0])
        children = [self.refined(maps, weights) for _, maps, weights in found[: 2 - self.stage]]
        return min(children, key=lambda c: c.distance) if children else None

    def from_pool(self, k: int) -> Measured:
        """A code of k maps of the pool, refined."""
        index = self.levels[int(self.rng.integers(2))]
        chosen = self.pool.choose(k, index, self.rng)
        return self.refined(self.pool.maps[chosen], self.pool.weights(chosen, index))

    def join(self, code: Measured, most: int = 3) -> None:
        """Let a code join the front, the best few codes in order."""
        self.front = sorted([*self.front, code], key=lambda c: c.distance)[:most]

    def advance(self) -> bool:
        """Go on to finer grids; False if there are none."""
        if self.stage + 1 == len(_STAGES):
            return False
        self.stage += 1
        codes, self.front = self.front, []
        for c in codes:
            self.join(self.refined(c.maps, c.weights, self.levels[1:]))
        return True

    def run(self, k: int, *, starts: int, hops: int, enough: float = 1.0) -> Measured:
        """The best code of k maps after so many starts and hops, or once its excess is at most ``enough``.

        What is good enough on coarse grids goes on on finer ones.
        """
        for _ in range(starts):
            self.join(self.from_pool(k) if len(self.pool) else self.refined(*self.start(k)))
            if self.excess(self.front[0]) <= enough:
                break
        for _ in range(hops):
            if self.excess(self.front[0]) <= enough and not self.advance():
                break
            i = 0 if self.rng.random() < 0.5 else int(self.rng.integers(len(self.front)))
            child = self.hop(self.front[i])
            if child is not None and child.distance < 0.995 * self.front[i].distance:
                self.front[i] = child
                self.front.sort(key=lambda c: c.distance)
        return self.front[0]


def _root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 1e-12))) @ vectors.T


def _moments(z: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = w @ z / w.sum()
    away = z - mean
    return mean, (w[:, None] * away).T @ away / w.sum() + 1e-8 * np.eye(z.shape[1])


def _rotations(dim: int) -> np.ndarray:
    """Rotations, evenly spaced in the plane and random but fixed in space, and the same reflected: ``[R, D, D]``."""
    count = _TURNS[dim]
    if dim == 2:
        a = 2 * np.pi * np.arange(count) / count
        turns = np.stack([np.cos(a), -np.sin(a), np.sin(a), np.cos(a)], axis=1).reshape(-1, 2, 2)
        return np.concatenate([turns, turns * [[1.0, -1.0]]])
    q, r = np.linalg.qr(np.random.default_rng(0).standard_normal((count, 3, 3)))
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    q *= np.sign(np.linalg.det(q))[:, None, None]
    return np.concatenate([q, -q])
