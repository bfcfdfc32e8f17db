"""Local search over codes: replace, perturb, add and prune maps, refine, and keep what fits the cloud better."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np

from fractalkit.fit.refine import Refiner, Score
from fractalkit.fit.search import Searcher

# Not every threading layer of Numba lets two threads run parallel kernels at once.
_ONE_AT_A_TIME = threading.Lock()


@dataclass
class Candidate:
    """A candidate code: ``maps [K, 3, 4]``, ``weights [K]`` and its score against the cloud."""

    maps: np.ndarray
    weights: np.ndarray
    score: Score
    density: float = math.nan  # misfit of the density, about 1 for the true code; NaN if unknown


@dataclass(frozen=True)
class Budget:
    """Work limits of a fit, all of them counts, so that a seed determines the result on any machine."""

    rounds: int  # of proposals
    proposals: int  # per band and round
    keep: int  # proposals registered per band
    starts: int  # codes chosen from the pool and refined
    hops: int
    points: int  # of the attractor, drawn per hop
    polish: int  # final Gauss-Newton steps, on all points


class Hopper:
    """Improves codes of a given number of maps; several hoppers may share a searcher, each in its own thread."""

    def __init__(self, searcher: Searcher, refiner: Refiner, budget: Budget) -> None:
        self.searcher, self.refiner, self.budget, self.rng = searcher, refiner, budget, refiner.rng
        rng = refiner.rng
        self.front: list[Candidate] = []
        self.seed = int(rng.integers(1 << 31))  # for the samples by which scores are compared
        self.enough = 1.01 * refiner.floor(budget.points).total

    # ---- evaluation

    def rate(self, maps: np.ndarray, weights: np.ndarray | None = None, *, points: int | None = None) -> Candidate:
        """Compute the weights and the score of a code."""
        k = len(maps)
        points = points or self.budget.points
        w = self.guess(maps) if weights is None else weights
        sample = self.refiner.match(maps, w, points=points, seed=self.seed)
        if weights is None:
            w = self.refiner.weigh(sample, k)
            sample = self.refiner.match(maps, w, points=points, seed=self.seed)
        return Candidate(maps, w, self.refiner.score(sample))

    def guess(self, maps: np.ndarray) -> np.ndarray:
        """Initial weights, proportional to the area of each map's image of a square."""
        sv = np.linalg.svd(maps[:, : 2 + (self.refiner.target.dim > 2), :3], compute_uv=False)
        area = sv[:, 0] * sv[:, min(1, self.refiner.target.dim - 1)]
        w = np.maximum(area, 0.01 * area.max() + 1e-12)
        return w / w.sum()

    def refined(self, c: Candidate, steps: int, tau: tuple[float, float], *, points: int | None = None) -> Candidate:
        """Refine a candidate by Gauss-Newton steps; returns it unchanged if they do not help."""
        maps, weights = self.refiner.refine(
            c.maps, c.weights, steps=steps, tau=tau, points=points or self.budget.points // 2
        )
        new = self.rate(maps, weights, points=points)
        return new if new.score.total < c.score.total else c

    # ---- starts

    def starts(self, k: int, count: int) -> list[Candidate]:
        """Choose distinct codes from the pool and refine them briefly, best first."""
        found: list[Candidate] = []
        seen: set[tuple[int, ...]] = set()
        for s in range(count):
            chosen = self.searcher.pick(k, self.rng, shake=s > 0)
            key = tuple(sorted(chosen.tolist()))
            if key in seen:
                continue
            seen.add(key)
            c = self.rate(self.searcher.pool.maps[chosen])
            found.append(self.refined(c, 6, (10.0, 3.0)))
        return sorted(found, key=lambda c: c.score.total)

    # ---- moves

    def replace(self, c: Candidate, count: int) -> Candidate:
        """Replace ``count`` random maps by maps of the pool, the last one by trying several distinct ones."""
        drop = self.rng.choice(len(c.maps), min(count, len(c.maps)), replace=False)
        kept = np.delete(c.maps, drop, axis=0)
        return self._filled(kept, len(drop))

    def _filled(self, kept: np.ndarray, count: int, *, tried: int = 8, gap: float | None = None) -> Candidate:
        """Add ``count`` maps of the pool to ``kept``, the last one by trying several distinct ones."""
        if count > 1:
            kept = self._extended(kept, count - 1)
        few = max(self.budget.points // 2, 1000)
        trials = [self.rate(np.concatenate([kept, m[None]]), points=few) for m in self._additions(kept, tried, gap)]
        return self.rate(min(trials, key=lambda t: t.score.total).maps)

    def turn(self, c: Candidate) -> Candidate:
        """Rotate or reflect one map about the cloud's principal axes.

        A cloud with an approximate symmetry has a local optimum for each element of the symmetry group.
        """
        i = int(self.rng.integers(len(c.maps)))
        kept = np.delete(c.maps, i, axis=0)
        old = c.maps[i : i + 1].copy()
        d = self.refiner.target.dim
        u, sv, vt = np.linalg.svd(old[0, :d, :d])
        if sv[-1] > 0.6 * sv[0] and self.rng.random() < 0.7:
            # a wrong map compensates by its shape, so start from the nearest similarity
            old[0, :d, :d] = sv.mean() * (u @ vt)
        turned = self.searcher.turned(old)
        with _ONE_AT_A_TIME:
            cost = self.searcher.cost(turned)[0]
        turned = turned[np.argsort(cost.mean(axis=1))[:8]]
        trials = [self.rate(np.concatenate([kept, m[None]]), points=max(self.budget.points // 2, 1000)) for m in turned]
        return self.rate(min(trials, key=lambda t: t.score.total).maps)

    def shake(self, c: Candidate) -> Candidate:
        """Perturb one map by a random amount between one spacing and a twentieth of the cloud."""
        maps = c.maps.copy()
        d = self.refiner.target.dim
        i = self.rng.integers(len(maps))
        size = self.searcher.spacing * np.exp(self.rng.uniform(0.5, np.log(max(0.05 / self.searcher.spacing, 2.0))))
        maps[i, :d, :d] += size * self.rng.standard_normal((d, d))
        maps[i, :d, 3] += 0.5 * size * self.rng.standard_normal(d)
        self.refiner.clip(maps)
        return self.rate(maps)

    def grow_and_prune(self, c: Candidate, extra: int) -> Candidate:
        """Add maps where the cloud is least covered, refine, then drop the least useful ones one by one."""
        k = len(c.maps)
        grown = self.refined(self.rate(self._extended(c.maps, extra)), 4, (6.0, 3.0))
        while len(grown.maps) > k:
            grown = self.refined(self.without_least(grown), 3, (6.0, 3.0))
        return grown

    def without_least(self, c: Candidate) -> Candidate:
        """Drop the map whose removal costs least."""
        trials = [
            self.rate(np.delete(c.maps, i, axis=0), points=max(self.budget.points // 3, 1000))
            for i in range(len(c.maps))
        ]
        best = min(range(len(trials)), key=lambda i: trials[i].score.total)
        return self.rate(trials[best].maps)

    def _additions(self, kept: np.ndarray, count: int, gap: float | None = None) -> np.ndarray:
        """Distinct maps of the pool ``[<= count, 3, 4]`` that cover most of what ``kept`` leaves uncovered."""
        s = self.searcher
        pool = s.pool
        least = np.full(len(s.back), 2 * s.reach, np.float32)
        if len(kept):
            with _ONE_AT_A_TIME:
                least = s.cost(kept)[0].min(axis=0)
        allowed = np.flatnonzero(pool.size <= s.cap * self.rng.choice([1.0, 0.9, 0.7, 0.5]))
        allowed = allowed if len(allowed) else np.arange(len(pool))
        gap = (gap or self.rng.choice([3.0, 12.0])) * s.spacing
        total = s.left(least, pool.cost[allowed])
        order = allowed[np.argsort(total)[: 40 * count]]
        return pool.maps[order[s.distinct(pool.maps[order], gap)][:count]]

    def _extended(self, kept: np.ndarray, count: int) -> np.ndarray:
        """Add ``count`` maps to ``kept``, each a random one of the best few additions."""
        maps = kept
        for _ in range(count):
            more = self._additions(maps, 8)
            maps = np.concatenate([maps, more[min(int(self.rng.exponential(1.5)), len(more) - 1)][None]])
        return maps

    # ---- missing maps

    def sure(self, c: Candidate) -> np.ndarray:
        """Maps of a code, ``[< K, 3, 4]``, that are probably correct; a random guess.

        A generator maps the cloud into itself; the distance of a wrong map's image is usually twice as large or more.
        """
        forward = self.searcher.cost(c.maps)[1]
        order = np.argsort(forward)
        n = int(self.rng.integers(1, len(order)))
        if self.rng.random() < 0.5:
            n = 1 + int(np.argmax(np.diff(np.log(forward[order] + 0.05 * self.searcher.spacing))))
        return c.maps[order[:n]]

    def complete(self, kept: np.ndarray, k: int) -> None:
        """Replace the worst of the front by the best of a few codes that combine ``kept`` with maps of the pool."""
        few = [self.refined(self._filled(kept, k - len(kept), tried=16, gap=12.0), 5, (6.0, 3.0)) for _ in range(3)]
        child = self.refined(min(few, key=lambda c: c.score.total), 8, (3.0, 2.0))
        worst = max(range(len(self.front)), key=lambda i: self.front[i].score.total)
        if len(self.front) < 3:
            self.front.append(child)
        elif child.score.total < self.front[worst].score.total:
            self.front[worst] = child

    # ---- the search

    def begin(self, k: int, so_far: Candidate | None = None, *, first: bool = False) -> None:
        """Fill the front with the best codes of the pool (only its ``first`` choice if set) and ``so_far``."""
        starts = self.starts(k, 1 if first else self.budget.starts)
        self.front = [self.refined(c, 12, (4.0, 2.0)) for c in starts[:3]]
        if so_far is not None:
            self.front[-1:] = [self.rate(so_far.maps)]

    @property
    def best(self) -> Candidate:
        """Best code of the front."""
        return min(self.front, key=lambda c: c.score.total)

    def advance(self, hops: int) -> None:
        """Try ``hops`` moves, each on a random code of the front, and keep improvements."""
        front = self.front
        for _ in range(hops):
            if self.best.score.total <= self.enough:
                break
            i = int(self.rng.integers(len(front)))
            move = self.rng.random()
            if move < 0.45:
                child = self.replace(front[i], 1 + (self.rng.random() < 0.5))
            elif move < 0.65:
                child = self.turn(front[i])
            elif move < 0.7:
                child = self.shake(front[i])
            else:
                child = self.grow_and_prune(front[i], 1 + int(self.rng.random() < 0.5))
            child = self.refined(child, 8, (6.0, 2.5))
            if child.score.total < 0.995 * front[i].score.total:
                front[i] = self.refined(child, 8, (3.0, 2.0))
                # drop the worst of the front once it is far behind
                worst = max(front, key=lambda c: c.score.total)
                if len(front) > 1 and worst.score.total > 1.6 * self.best.score.total:
                    front[:] = [c for c in front if c is not worst]

    def finish(self) -> Candidate:
        """Polish the best code on all points."""
        full = self.refiner.points
        return self.refined(self.rate(self.best.maps, points=full), self.budget.polish, (3.0, 2.0), points=full)
