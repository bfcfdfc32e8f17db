"""Global search for a code by the density of its attractor.

The images of the cloud itself stand for those of the attractor, so that a right map is right whatever the others are.
Hence maps are gathered in an archive, and codes are made of it:

start     a code of cells of the cloud: the moments of a cell determine the map that makes the cloud into it up to a
          rotation (in coordinates in which both are white), so flat maps are as easy as round ones
replace   a few maps of a good code are dropped; the archive and what is left unexplained provide their successors
choose    maps of the archive that explain the cloud best together are refined together

Every map that any of these ends with is archived. Codes of random starts have some maps right and others wrong; few
such codes hold all the right ones between them, where no single code does. An archive comes to a standstill after some
rounds, so new ones are begun, and every third epoch brings together what was found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fractalkit.fit.density import Density, Level
from fractalkit.fit.density_kernels import gaps_with, settle, spread
from fractalkit.fit.search import clip_maps

_TURNS = {2: 16, 3: 48}  # rotations tried, each also with a reflection
_DEPTH = 6  # letters of the orbits, which start in the cloud, while the search goes on
_ORBITS = (2500, 5000)
_WINDOWS = 6  # proposed when maps are dropped
_TRIED = 6  # successors refined by themselves
_DROPS, _DROPPED = 2, 4  # times a round that maps are dropped, and their number, at most
_STARTS, _EPOCH = 8, 20  # random codes of an epoch, and its rounds
_ARCHIVE = 1000
_SHORT = 100  # maps of it that are looked at on finer grids
_APART = 0.01  # distance, in diagonals of the cloud, between the images of maps that are told apart
_ALIKE = 0.04  # distance of maps of codes that are alike
_FRONT = 4
_STAGES = ((0, 1), (1, 2))  # levels of the search
_COARSE = 0.4  # of the rounds, at most, before the finer grids
_FEW, _SOME = 800, 1500  # points of the cloud whose images are drawn
_CELLS = 4000  # and that are parted into cells
_PROBES = 12


class Archive:
    """Distinct maps ``[H, 3, 4]`` with the masses of the cloud's images under them, ``[H, cells]`` for each level."""

    def __init__(self, density: Density, points: np.ndarray) -> None:
        self.density, self.points = density, points
        self.maps = np.zeros((0, 3, 4))
        self.size = np.zeros(0)  # norms
        self.frames = np.zeros((0, 3 * min(_PROBES, len(points))))  # images of a few points
        self.masses = [np.zeros((0, len(level.mass)), np.float32) for level in density.levels]

    def __len__(self) -> int:
        return len(self.maps)

    def add(self, maps: np.ndarray) -> None:
        """Add maps in place of those near them, and keep the last ones."""
        frames = self.framed(maps)
        kept = np.flatnonzero((_gaps(self.frames, frames) > _APART).all(axis=1))
        kept = kept[max(len(kept) + len(maps) - _ARCHIVE, 0) :]
        self.maps = np.concatenate([self.maps[kept], maps])
        self.size = np.concatenate([self.size[kept], np.linalg.norm(maps[:, :, :3], ord=2, axis=(1, 2))])
        self.frames = np.concatenate([self.frames[kept], frames])
        for i, level in enumerate(self.density.levels):
            new = self.density.pieces(maps, self.points, level).astype(np.float32)
            self.masses[i] = np.concatenate([self.masses[i][kept], new])

    def framed(self, maps: np.ndarray) -> np.ndarray:
        """Images of a few points ``[H, F]``, scaled so that distances of rows are root mean squares."""
        z = self.points[:_PROBES]
        images = np.einsum("hij,pj->hpi", maps[:, :, :3], z) + maps[:, None, :, 3]
        return images.reshape(len(maps), 3 * len(z)) / np.sqrt(len(z))

    def fits(self, kept: np.ndarray, index: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hellinger distance and weight, ``[A]`` both, of the allowed maps when added to masses ``kept``."""
        level = self.density.levels[index]
        psi = self.masses[index][allowed]
        share = self.density.shares(psi, kept, level)
        if self.density.filled:
            psi = psi * self.density.room(kept, level).astype(np.float32)
        q = np.sqrt(kept.astype(np.float32) + share[:, None].astype(np.float32) * psi)
        return 1 + kept.sum() + share * psi.sum(axis=1) - 2 * (q @ np.sqrt(level.mass)), share

    def ranked(
        self, coarse: np.ndarray, kept: np.ndarray, index: int, allowed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best of the allowed maps, best first, and their weights.

        Only those that are good on the coarsest grid, where the masses are ``coarse``, are looked at on finer ones.
        """
        if index > 0 and len(allowed) > _SHORT:
            allowed = allowed[np.argpartition(self.fits(coarse, 0, allowed)[0], _SHORT)[:_SHORT]]
        gaps, share = self.fits(kept, index, allowed)
        order = np.argsort(gaps)
        return allowed[order], share[order]

    def weights(self, chosen: np.ndarray, index: int) -> np.ndarray:
        """Weights ``[K]`` of the chosen maps that make the cloud's masses most likely."""
        return self.density.likely(self.masses[index][chosen].astype(np.float64), self.density.levels[index])

    def choose(self, k: int, index: int, rng: np.random.Generator) -> np.ndarray:
        """Indices ``[k]`` of maps that explain the cloud's masses together: a random greedy choice and swaps.

        Often only a random part of the archive is allowed, so that choices differ.
        """
        some = self.size <= rng.choice([1.0, 0.9, 0.75, 0.6])
        if rng.random() < 0.7:
            some &= rng.random(len(self)) < 0.7
        allowed = np.flatnonzero(some) if some.sum() >= 3 * k else np.arange(len(self))
        chosen, weights = np.zeros(0, np.int64), np.zeros(0)
        for _ in range(k):
            best = self._ranked_with(chosen, weights, index, allowed)
            chosen = np.append(chosen, best[min(int(rng.exponential(1.0)), len(best) - 1)])
            weights = self.weights(chosen, index) * min(1.0, (len(chosen) + 1) / (k + 1))
        for _ in range(2):
            for i in range(k):
                chosen[i] = self._ranked_with(np.delete(chosen, i), np.delete(weights, i), index, allowed)[0]
                weights = self.weights(chosen, index)
        return chosen

    def _ranked_with(self, chosen: np.ndarray, weights: np.ndarray, index: int, allowed: np.ndarray) -> np.ndarray:
        coarse, kept = (
            self.density.joined(self.masses[i][chosen], weights, self.density.levels[i]) for i in (0, index)
        )
        return self.ranked(coarse, kept, index, allowed)[0]


@dataclass(frozen=True)
class Measured:
    """A code ``maps [K, 3, 4]``, ``weights [K]`` and its Hellinger distance at the search's finest level."""

    maps: np.ndarray
    weights: np.ndarray
    distance: float


class MeasureSearch:
    """Codes of k maps whose measure is that of the target; deterministic in ``rng``."""

    def __init__(self, density: Density, k: int, rng: np.random.Generator) -> None:
        self.density, self.k, self.rng = density, k, rng
        self.dim = d = density.dim
        self.points = density.points
        z = self.points[:, :d]
        self.mean = z.mean(axis=0)
        self.white = np.linalg.inv(_root(np.cov(z.T) + 1e-12 * np.eye(d)))
        order = density.order
        self.few, self.some = self.points[order[:_FEW]], self.points[order[-_SOME:]]
        self.turns = _rotations(d)
        self.archive = Archive(density, self.some)
        self.past: list[tuple[np.ndarray, list[Measured]]] = []  # maps and front of each epoch
        self.stage, self.epoch = 0, 0
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

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """A code, maps ``[K, 3, 4]`` and weights ``[K]``, from cells about k random centres of the white cloud."""
        k = self.k
        part = self.density.starts[:_CELLS]
        z = part[:, : self.dim] @ self.white.T
        centres = z[self.rng.integers(len(z))][None]
        while len(centres) < k:
            far = ((z[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
            centres = np.concatenate([centres, z[self.rng.choice(len(z), p=far / far.sum())][None]])
        for _ in range(3):
            cell = ((z[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
            centres = np.array([z[cell == i].mean(axis=0) if (cell == i).any() else centres[i] for i in range(k)])
        maps, weights = np.zeros((k, 3, 4)), np.zeros(k)
        for i in range(k):
            maps[i], weights[i] = self._fill(part[cell == i], len(part))
        return maps, weights / weights.sum()

    def _fill(self, cell: np.ndarray, whole: int) -> tuple[np.ndarray, float]:
        """A map onto points ``[N, 3]`` of ``whole``, one of the best few orientations, and their mass."""
        level = self.density.levels[0]
        if len(cell) < 10:
            cell = self.points[self.rng.choice(len(self.points), 10)]
        share = len(cell) / whole
        maps = self.shaped(*_moments(cell[:, : self.dim], np.ones(len(cell))))
        aim = np.zeros_like(level.mass)
        spread(cell, 1 / whole, level.frame, self.dim, level.side, aim)
        grid = (np.zeros_like(aim), np.ones_like(aim), np.sqrt(aim), level.frame, self.dim, level.side)
        gaps = gaps_with(maps, np.full(len(maps), share), self.few, *grid)
        return maps[np.argsort(gaps)[0 if self.rng.random() < 0.6 else self.rng.integers(4)]], share

    def explained(self, maps: np.ndarray, weights: np.ndarray, level: Level) -> np.ndarray:
        """Masses of the cells that the images of the cloud under some maps account for."""
        return self.density.joined(self.density.pieces(maps, self.some, level), weights, level)

    def _need(self, kept: np.ndarray, level: Level) -> np.ndarray:
        """Part of each cell's mass, 0 to 1, that masses ``kept`` lack by more than the noise of counts."""
        sigmas = 2 * np.sqrt(len(self.points)) * (np.sqrt(level.mass) - np.sqrt(kept))
        return np.clip(1 - kept / np.maximum(level.mass, 1e-12), 0, 1) * np.clip((sigmas - 1) / 2, 0, 1)

    def successors(self, maps: np.ndarray, weights: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The best few maps ``[H, 3, 4]``, and their weights, to add to maps ``[M, 3, 4]``, best first.

        Many maps are compared on the grid before the one of ``index``, and few settle on that.
        """
        rough, level = self.density.levels[max(index - 1, 0)], self.density.levels[index]
        left, kept = self.explained(maps, weights, rough), self.explained(maps, weights, level)
        need = self._need(kept, level)[level.cells(self.points, self.dim)]
        known = np.arange(len(self.archive))
        gap, mass = self.archive.fits(left, max(index - 1, 0), known)
        known = np.argsort(gap)[:_SHORT]
        if self.density.filled:
            mass = self.archive.masses[0].sum(axis=1)
        new, share, gaps = [self.archive.maps[known]], [mass[known]], [gap[known]]
        for mean, covariance, part in self.windows(need, _WINDOWS):
            new.append(self.shaped(mean, covariance))
            share.append(np.full(len(new[-1]), part))
            gaps.append(gaps_with(new[-1], share[-1], self.few, *self._grid(left, rough)))
        candidates, weight = np.concatenate(new), np.concatenate(share)
        best = self._distinct(candidates, np.concatenate(gaps))
        found, weight = candidates[best], weight[best]
        gap = settle(found, weight, self.some, *self._grid(kept, level), 10, self.density.cap)
        order = np.argsort(gap)
        return found[order], weight[order]

    def _grid(self, kept: np.ndarray, level: Level) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int]:
        return kept, self.density.room(kept, level), np.sqrt(level.mass), level.frame, self.dim, level.side

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
        """Refine all maps and weights on the search's grids, first as images of the cloud, and archive the maps."""
        orbits = _ORBITS[self.stage]
        levels = levels or self.levels[1:]
        maps, weights, _ = self.density.refine(maps, weights, levels=levels, steps=12, orbits=orbits, depth=1)
        self.archive.add(maps)
        found = self.density.refine(maps, weights, levels=levels[-1:], steps=8, orbits=orbits, depth=_DEPTH)
        self.archive.add(found[0])
        return Measured(*found)

    def replaced(self) -> tuple[np.ndarray, np.ndarray]:
        """A code of the front, some of its maps replaced, which is not refined yet.

        One of the successors is proposed by what is left, mostly after maps of the archive have taken their part of it.
        The best of these proposals are archived. The maps dropped are random, or the one that is least needed; then the
        others are refined, so that what they leave stands out, however little it is.
        """
        i = 0 if self.rng.random() < 0.5 else int(self.rng.integers(len(self.front)))
        code = self.front[i]
        index = self.levels[int(self.rng.integers(2))]
        if self.rng.random() < 0.25:
            kept = np.delete(np.arange(self.k), self.least(code, index))
            maps, weights, _ = self.density.refine(
                code.maps[kept], code.weights[kept], levels=(index,), steps=8, orbits=_ORBITS[0], depth=_DEPTH
            )
        else:
            most = min(_DROPPED, self.k - 1)
            kept = self.rng.permutation(self.k)[int(self.rng.integers(1, most + 1)) :]
            maps, weights = code.maps[kept], code.weights[kept]
        if self.rng.random() < 0.7:
            maps, weights = self.extended(maps, weights, self.k - 1 - len(kept), index)
        new, share = self.successors(maps, weights, index)
        self.archive.add(new[:4])
        maps, weights = np.concatenate([maps, new[:1]]), np.append(weights, share[:1])
        return self.extended(maps, weights, self.k - len(maps), index)

    def extended(self, maps: np.ndarray, weights: np.ndarray, count: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Maps and weights with ``count`` maps of the archive that explain, one by one, what they leave."""
        masses = [self.explained(maps, weights, self.density.levels[i]) for i in (0, index)]
        for _ in range(count):
            known, share = self.archive.ranked(masses[0], masses[1], index, np.arange(len(self.archive)))
            at = min(int(self.rng.exponential(1.0)), len(known) - 1)
            j = known[at]
            for masses_of, i in zip(masses, (0, index), strict=True):
                both = np.stack([masses_of, self.archive.masses[i][j]])
                masses_of[:] = self.density.joined(both, np.array([1.0, share[at]]), self.density.levels[i])
            maps, weights = np.concatenate([maps, self.archive.maps[j : j + 1]]), np.append(weights, share[at])
        return maps, weights

    def least(self, code: Measured, index: int) -> int:
        """The map of a code without which the others, weighed anew, explain the cloud best."""
        level = self.density.levels[index]
        psi = self.density.pieces(code.maps, self.some, level)
        gaps = []
        for i in range(len(psi)):
            rest = np.delete(psi, i, axis=0)
            q = self.density.joined(rest, self.density.likely(rest, level, 8), level)
            gaps.append(float(((np.sqrt(q) - np.sqrt(level.mass)) ** 2).sum()))
        return int(np.argmin(gaps))

    def chosen(self) -> Measured:
        """A code of maps of the archive, refined."""
        first = int(self.rng.integers(2))
        index = self.levels[first]
        chosen = self.archive.choose(self.k, index, self.rng)
        return self.refined(self.archive.maps[chosen], self.archive.weights(chosen, index), self.levels[first:])

    def join(self, code: Measured) -> None:
        """Let a code join the front, the best few codes in order; of codes with all maps but one alike the best."""
        frames = self.archive.framed(code.maps)
        for other in self.front:
            near = (_gaps(frames, self.archive.framed(other.maps)) < _ALIKE).any(axis=1)
            if near.sum() >= self.k - 1:
                if other.distance <= code.distance:
                    return
                self.front = [c for c in self.front if c is not other]
                break
        self.front = sorted([*self.front, code], key=lambda c: c.distance)[:_FRONT]

    def begin(self) -> None:
        """Begin an epoch: with random codes and an empty archive, with all that was found, or with what was given."""
        self.epoch += 1
        if self.epoch == 1 and self.front:
            return
        if self.epoch % 3 == 0:
            self.gather()
            return
        if self.front:
            self.past.append((self.archive.maps, self.front))
        self.archive, self.front = Archive(self.density, self.some), []
        for _ in range(_STARTS):
            self.join(self.refined(*self.start(), levels=self.levels))

    def inherit(self, archive: Archive | None, more: Measured | None) -> None:
        """Begin with the archive of a search for another number of maps, and with random codes.

        ``more`` is a code of k + 1 maps, of which the least one is left out.
        """
        if archive is not None:
            self.archive = archive
        for _ in range(_STARTS):
            self.join(self.refined(*self.start(), levels=self.levels))
        if archive is not None:
            for _ in range(_STARTS):
                self.join(self.chosen())
        if more is not None:
            rest = np.delete(np.arange(self.k + 1), self.least(more, self.levels[1]))
            self.join(self.refined(more.maps[rest], more.weights[rest]))

    def gather(self) -> None:
        """Bring together what was found in all epochs."""
        for maps, front in self.past:
            self.archive.add(maps)
            for code in front:
                self.join(code)

    def advance(self) -> None:
        """Go on to finer grids with all that was found."""
        self.gather()
        self.stage += 1
        codes, self.front = self.front, []
        for c in codes:
            self.join(self.refined(c.maps, c.weights))

    def run(
        self, rounds: int, *, enough: float = 0.0, tell: Callable[[int], None] = lambda done: None
    ) -> tuple[Measured, int]:
        """The best code after so many rounds, or once its excess on the finest grids is at most ``enough``.

        What is good enough on coarse grids, or is the best after a part of the rounds, goes on on finer ones, and is
        returned at once. ``tell`` gets the number of rounds done, which is returned too.
        """
        for r in range(rounds + 1):
            coarse = self.stage + 1 < len(_STAGES)
            late = r >= _COARSE * rounds
            if coarse and r % _EPOCH == 0 and not (late and self.front):
                self.begin()
            if coarse and (late or self.excess(self.front[0]) <= 1):
                self.advance()
                return self.front[0], r
            if not coarse and self.excess(self.front[0]) <= enough:
                return self.front[0], r
            if r < rounds:
                for _ in range(_DROPS):
                    code = self.replaced()
                self.join(self.refined(*code) if r % 2 else self.chosen())
                tell(r + 1)
        return self.front[0], rounds


def _gaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances ``[A, B]`` of rows."""
    return np.asarray(np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)))


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
