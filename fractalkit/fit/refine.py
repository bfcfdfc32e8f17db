"""Refinement of a code against a cloud through its orbit: Gauss-Newton on the two-sided distance.

A point of the attractor is y = f_{a_1} f_{a_2} … f_{a_L}(x_0), and

    dy / dA_{a_j} = B_j ⊗ z_j,   B_j = A_{a_1} … A_{a_{j-1}},   z_j = f_{a_{j+1}} … f_{a_L}(x_0),

so every map sees its effect at every depth: the attractor itself moves, not only one step of the collage. The normal
equations are summed over both directions (each attractor point to its nearest cloud point and the reverse).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from scipy.spatial import cKDTree

from fractalkit.fit.search import clip_maps
from fractalkit.fit.target import Target

# mypy: disable-error-code="no-untyped-def"

DEPTH = 8


@dataclass(frozen=True)
class Score:
    """How far an attractor is from the cloud, in units of the diagonal; ``total`` is what searches minimise."""

    chamfer: float  # mean of the two mean distances
    tail: float  # 98 % quantile of the distances both ways, averaged
    worst: float  # mean of the worst half per cent both ways, averaged
    total: float


@nb.njit(cache=True, nogil=True)
def _accumulate(maps, dim, start, address, rows, aims, weight, jdepth, points):
    """Normal equations of the pairs (attractor point rows[n], aim aims[n]): ``[P, P]`` and ``[P]``."""
    k = maps.shape[0]
    depth = address.shape[1]
    d1 = dim + 1
    size = k * dim * d1
    normal = np.zeros((size, size))
    right = np.zeros(size)
    z = np.empty((depth + 1, 4))
    left = np.empty((jdepth, 3, 3))
    e = np.empty(3)
    g = np.empty((3, 3))
    for n in range(rows.shape[0]):
        i = rows[n]
        w = weight[n]
        if w <= 0.0:
            continue
        for c in range(3):
            z[depth, c] = points[start[i], c]
        z[depth, 3] = 1.0
        for j in range(depth - 1, -1, -1):
            m = maps[address[i, j]]
            for r in range(3):
                z[j, r] = m[r, 0] * z[j + 1, 0] + m[r, 1] * z[j + 1, 1] + m[r, 2] * z[j + 1, 2] + m[r, 3]
            z[j, 3] = 1.0
        for c in range(3):
            e[c] = aims[n, c] - z[0, c]
        for r in range(3):
            for c in range(3):
                left[0, r, c] = 1.0 if r == c else 0.0
        for j in range(1, jdepth):
            m = maps[address[i, j - 1]]
            for r in range(dim):
                for c in range(dim):
                    s = 0.0
                    for q in range(dim):
                        s += left[j - 1, r, q] * m[q, c]
                    left[j, r, c] = s
        for j in range(jdepth):
            base1 = address[i, j] * dim * d1
            for r in range(dim):
                s = 0.0
                for q in range(dim):
                    s += left[j, q, r] * e[q]
                s *= w
                for c in range(dim):
                    right[base1 + r * d1 + c] += s * z[j + 1, c]
                right[base1 + r * d1 + dim] += s
            for h in range(j + 1):
                base2 = address[i, h] * dim * d1
                for r in range(dim):
                    for c in range(dim):
                        s = 0.0
                        for q in range(dim):
                            s += left[j, q, r] * left[h, q, c]
                        g[r, c] = s * w
                for r in range(dim):
                    for c in range(dim):
                        s = g[r, c]
                        for u in range(d1):
                            zu = z[j + 1, u] if u < dim else 1.0
                            t = s * zu
                            row = base1 + r * d1 + u
                            col = base2 + c * d1
                            for v in range(dim):
                                normal[row, col + v] += t * z[h + 1, v]
                            normal[row, col + dim] += t
                            if h != j:
                                for v in range(dim):
                                    normal[col + v, row] += t * z[h + 1, v]
                                normal[col + dim, row] += t
    return normal, right


@nb.njit(cache=True, nogil=True)
def _walk(maps, cumulative, depth, seed, start, points, out, address):
    """As :func:`fractalkit.fit.kernels.orbit`, with the start of each point given: ``start [N]``."""
    np.random.seed(seed)
    k = maps.shape[0]
    for i in range(start.shape[0]):
        x, y, z = points[start[i], 0], points[start[i], 1], points[start[i], 2]
        for d in range(depth - 1, -1, -1):
            u = np.random.random()
            a = 0
            while a < k - 1 and u >= cumulative[a]:
                a += 1
            address[i, d] = a
            m = maps[a]
            x, y, z = (
                m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3],
                m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3],
                m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3],
            )
        out[i, 0], out[i, 1], out[i, 2] = x, y, z


@dataclass
class Sample:
    """Points of the attractor with what made them, and the matching both ways with the cloud."""

    points: np.ndarray  # [N, D']
    start: np.ndarray  # [N]
    address: np.ndarray  # [N, L], last map first
    forward: np.ndarray  # [N] distance to the cloud
    hit: np.ndarray  # [N] nearest cloud point
    subset: np.ndarray  # [M] cloud points matched backward
    backward: np.ndarray  # [M] distance to the attractor sample
    source: np.ndarray  # [M] nearest attractor point

    def owner(self) -> np.ndarray:
        """The map whose piece each matched cloud point lies nearest to: ``[M]``."""
        return self.address[self.source, 0]


class Refiner:
    """Draws attractors of a code, scores them against the target, and refines the code."""

    def __init__(
        self,
        target: Target,
        rng: np.random.Generator,
        *,
        cap: float,
        points: int,
        isotropy: float = 0.0,
        workers: int = -1,
    ) -> None:
        self.target, self.rng, self.cap, self.isotropy, self.workers = target, rng, cap, isotropy, workers
        self.points = min(points, len(target))

    def draw(self, maps: np.ndarray, weights: np.ndarray, n: int, *, depth: int = DEPTH, seed: int | None = None):
        """n independent points of (about) the attractor: points ``[n, 3]``, start ``[n]``, address ``[n, L]``."""
        rng = self.rng if seed is None else np.random.default_rng(seed)
        start = rng.integers(0, len(self.target), n)
        out = np.empty((n, 3))
        address = np.empty((n, depth), np.int64)
        cumulative = np.cumsum(weights / weights.sum())
        _walk(maps, cumulative, depth, int(rng.integers(1 << 31)), start, self.target.lookup.points, out, address)
        return out, start, address

    def match(
        self,
        maps: np.ndarray,
        weights: np.ndarray,
        *,
        points: int | None = None,
        depth: int = DEPTH,
        seed: int | None = None,
    ) -> Sample:
        """Draw the attractor and match it both ways with the cloud."""
        n = self.points if points is None else min(points, len(self.target))
        out, start, address = self.draw(maps, weights, n, depth=depth, seed=seed)
        y = np.ascontiguousarray(out[:, : self.target.dim])
        x = self.target.points
        subset = np.arange(len(x)) if n >= len(x) else np.sort(self.rng.choice(len(x), n, replace=False))
        forward, hit = self.target.tree.query(y, workers=self.workers)
        backward, source = cKDTree(y, balanced_tree=False, compact_nodes=False).query(x[subset], workers=self.workers)
        return Sample(y, start, address, forward, hit, subset, backward, source)

    def score(self, sample: Sample) -> Score:
        """Score a matched sample; lower is better."""
        return self._score(sample.forward, sample.backward)

    def floor(self, points: int) -> Score:
        """The score that ``points`` of another sample of the cloud's own set would have."""
        x = self.target.points
        forward = self.target.tree.query(x, k=2, workers=-1)[0][:, 1]
        if points >= len(x):
            return self._score(forward, forward)
        order = np.random.default_rng(0).permutation(len(x))
        part, rest = x[order[:points]], x[order[points:]]
        return self._score(forward, cKDTree(part).query(rest, workers=-1)[0])

    def _score(self, f: np.ndarray, b: np.ndarray) -> Score:
        chamfer = float(f.mean() + b.mean()) / 2
        tail = float(np.quantile(f, 0.98) + np.quantile(b, 0.98)) / 2
        worst = (_worst(f) + _worst(b)) / 2
        return Score(chamfer, tail, worst, chamfer + 0.1 * tail + 0.04 * worst)

    def weigh(self, sample: Sample, k: int) -> np.ndarray:
        """Weights ``[K]``: the share of the cloud that lies nearest to each map's piece, at least 1/1000."""
        mass = np.bincount(sample.owner(), minlength=k) / len(sample.source)
        mass = np.maximum(mass, 1e-3)
        return mass / mass.sum()

    def refine(
        self,
        maps: np.ndarray,
        weights: np.ndarray,
        *,
        steps: int,
        tau: tuple[float, float],
        damping: float = 1e-3,
        relax: float = 1.9,
        momentum: float = 0.6,
        points: int | None = None,
        jdepth: int = 4,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton steps with Geman-McClure weights of width tau[0] -> tau[1] (spacings); maps, weights out."""
        target, dim = self.target, self.target.dim
        k, d1 = len(maps), dim + 1
        maps = maps.copy()
        seed = int(self.rng.integers(1 << 31))  # common random numbers, so that the steps converge
        velocity = np.zeros((k, dim, d1))
        best, best_total = (maps.copy(), weights), np.inf
        spacing = float(np.median(target.spacing))
        for step in range(steps):
            width = spacing * tau[0] * (tau[1] / tau[0]) ** (step / max(steps - 1, 1))
            s = self.match(maps, weights, points=points, seed=seed)
            total = self.score(s).total
            if total < best_total:
                best, best_total = (maps.copy(), weights), total
            elif total > 1.05 * best_total:
                velocity[:] = 0
            rows = np.concatenate([np.arange(len(s.points)), s.source])
            aims = np.concatenate([target.points[s.hit], target.points[s.subset]])
            aims = np.pad(aims, ((0, 0), (0, 3 - dim)))
            d2 = np.concatenate([s.forward, s.backward]) ** 2
            local = np.concatenate([target.spacing[s.hit], target.spacing[s.subset]])
            w = (1 + d2 / np.maximum(width, width / spacing * local) ** 2) ** -2.0
            a, g = _accumulate(maps, dim, s.start, s.address, rows, aims, w, min(jdepth, DEPTH), target.lookup.points)
            scale = np.diag(a).copy()
            a[np.diag_indices_from(a)] += damping * scale + 1e-9 * scale.max() + 1e-12
            move = relax * np.linalg.solve(a, g).reshape(k, dim, d1)
            velocity = momentum * velocity + move
            maps[:, :dim, :dim] += velocity[:, :, :dim]
            maps[:, :dim, 3] += velocity[:, :, dim]
            self.clip(maps)
            weights = 0.5 * weights + 0.5 * self.weigh(s, k)
        s = self.match(maps, weights, points=points, seed=seed)
        return (maps, weights) if self.score(s).total <= best_total else best

    def clip(self, maps: np.ndarray) -> None:
        """Bring singular values within the cap and the isotropy asked for, in place."""
        clip_maps(maps, self.target.dim, self.cap, self.isotropy)


def _worst(d: np.ndarray) -> float:
    k = max(1, len(d) // 200)
    return float(np.partition(d, len(d) - k)[-k:].mean())
