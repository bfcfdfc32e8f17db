"""Refinement of a code by Gauss-Newton steps on the two-sided distance between its attractor and a cloud.

A point of the attractor is y = f_{a_1} f_{a_2} … f_{a_L}(x_0), and

    dy / dA_{a_j} = B_j ⊗ z_j,   B_j = A_{a_1} … A_{a_{j-1}},   z_j = f_{a_{j+1}} … f_{a_L}(x_0),

so the derivative includes the effect of every map at every depth: it is that of the attractor, not of one collage step.
The normal equations are summed over both directions (each attractor point to its nearest cloud point and the reverse).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from scipy.spatial import cKDTree

from fractalkit.fit.density import Density, burn_in
from fractalkit.fit.metrics import crowding
from fractalkit.fit.search import clip_maps
from fractalkit.fit.target import Target

# mypy: disable-error-code="no-untyped-def"

DEPTH = 8  # length of addresses
JDEPTH = 4  # maps of an address that a step changes
DAMPING, RELAX, MOMENTUM = 1e-3, 1.9, 0.6  # of the steps


@dataclass(frozen=True)
class Score:
    """Distance of an attractor from the cloud, relative to the diagonal; searches minimise ``total``."""

    chamfer: float  # mean of the two mean distances
    tail: float  # 98 % quantile of the distances both ways, averaged
    worst: float  # mean of the largest 0.5 % both ways, averaged
    total: float


@nb.njit(cache=True, inline="always")
def _trace(maps, address, start, z):
    """Points of the orbit that ends in the attractor point z_0: ``z [L + 1, 4]``, homogeneous, z_L = start."""
    depth = address.shape[0]
    for c in range(3):
        z[depth, c] = start[c]
    z[depth, 3] = 1.0
    for j in range(depth - 1, -1, -1):
        m = maps[address[j]]
        for r in range(3):
            z[j, r] = m[r, 0] * z[j + 1, 0] + m[r, 1] * z[j + 1, 1] + m[r, 2] * z[j + 1, 2] + m[r, 3]
        z[j, 3] = 1.0


@nb.njit(cache=True, inline="always")
def _products(maps, dim, address, left):
    """The matrices B_1, B_2, ...: ``left [J, 3, 3]``."""
    for r in range(3):
        for c in range(3):
            left[0, r, c] = 1.0 if r == c else 0.0
    for j in range(1, left.shape[0]):
        m = maps[address[j - 1]]
        for r in range(dim):
            for c in range(dim):
                s = 0.0
                for q in range(dim):
                    s += left[j - 1, r, q] * m[q, c]
                left[j, r, c] = s


@nb.njit(cache=True, inline="always")
def _add_right(right, base, left, z, e, w, dim):
    """Add w (B^T e) ⊗ (z, 1) to the right-hand side, from index ``base`` on."""
    d1 = dim + 1
    for r in range(dim):
        s = 0.0
        for q in range(dim):
            s += left[q, r] * e[q]
        s *= w
        for c in range(dim):
            right[base + r * d1 + c] += s * z[c]
        right[base + r * d1 + dim] += s


@nb.njit(cache=True, inline="always")
def _add_block(normal, base1, base2, left1, left2, z1, z2, w, dim, both):
    """Add w (B_1^T B_2) ⊗ (z_1, 1) (z_2, 1)^T to the normal matrix, and its transpose if ``both``."""
    d1 = dim + 1
    for r in range(dim):
        for c in range(dim):
            s = 0.0
            for q in range(dim):
                s += left1[q, r] * left2[q, c]
            s *= w
            for u in range(d1):
                t = s * z1[u] if u < dim else s
                row = base1 + r * d1 + u
                col = base2 + c * d1
                for v in range(dim):
                    normal[row, col + v] += t * z2[v]
                normal[row, col + dim] += t
                if both:
                    for v in range(dim):
                        normal[col + v, row] += t * z2[v]
                    normal[col + dim, row] += t


@nb.njit(cache=True, nogil=True)
def _accumulate(maps, dim, origin, address, rows, aims, weight, jdepth):
    """Normal equations ``[P, P]`` and ``[P]`` of the pairs (attractor point rows[n], aim aims[n])."""
    stride = dim * (dim + 1)
    size = maps.shape[0] * stride
    normal = np.zeros((size, size))
    right = np.zeros(size)
    z = np.empty((address.shape[1] + 1, 4))
    left = np.empty((jdepth, 3, 3))
    e = np.empty(3)
    for n in range(rows.shape[0]):
        i = rows[n]
        w = weight[n]
        if w <= 0.0:
            continue
        _trace(maps, address[i], origin[i], z)
        _products(maps, dim, address[i], left)
        for c in range(3):
            e[c] = aims[n, c] - z[0, c]
        for j in range(jdepth):
            base = address[i, j] * stride
            _add_right(right, base, left[j], z[j + 1], e, w, dim)
            for h in range(j + 1):
                _add_block(normal, base, address[i, h] * stride, left[j], left[h], z[j + 1], z[h + 1], w, dim, h != j)
    return normal, right


@nb.njit(cache=True, nogil=True)
def _walk(maps, cumulative, burn, seed, origin, out, address):
    """Chaos game of ``burn`` steps from ``origin [N, 3]``, which becomes their end, and of L more.

    Writes the last points ``out [N, 3]`` and the last L letters ``address [N, L]``.
    """
    np.random.seed(seed)
    k = maps.shape[0]
    depth = address.shape[1]
    for i in range(out.shape[0]):
        x, y, z = origin[i, 0], origin[i, 1], origin[i, 2]
        for d in range(depth + burn - 1, -1, -1):
            if d == depth - 1:
                origin[i, 0], origin[i, 1], origin[i, 2] = x, y, z
            u = np.random.random()
            a = 0
            while a < k - 1 and u >= cumulative[a]:
                a += 1
            if d < depth:
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
    """Points of the attractor with their addresses, matched both ways with the cloud."""

    points: np.ndarray  # [N, D']
    origin: np.ndarray  # [N, 3], where the addresses begin
    address: np.ndarray  # [N, L], last map first
    forward: np.ndarray  # [N] distance to the cloud
    hit: np.ndarray  # [N] nearest cloud point
    subset: np.ndarray  # [M] cloud points matched backward
    backward: np.ndarray  # [M] distance to the attractor sample
    source: np.ndarray  # [M] nearest attractor point

    def owner(self) -> np.ndarray:
        """Index of the map whose piece is nearest to each matched cloud point: ``[M]``."""
        return self.address[self.source, 0]


class Refiner:
    """Draws the attractor of a code, scores it against the target, and refines the code."""

    def __init__(
        self, target: Target, rng: np.random.Generator, *, cap: float, points: int, isotropy: float = 0.0,
        workers: int = -1, density: Density | None = None,
    ) -> None:  # fmt: skip
        self.density = density  # for weights; None takes them from the nearest pieces
        self.target, self.rng, self.cap, self.isotropy, self.workers = target, rng, cap, isotropy, workers
        self.points = min(points, int(target.counts.sum()))
        self.centre = np.pad(target.points.mean(axis=0), (0, 3 - target.dim))

    def draw(self, maps: np.ndarray, weights: np.ndarray, n: int, *, seed: int | None = None, near: bool = False):
        """Draw n independent points of the attractor: points ``[n, 3]``, origin ``[n, 3]``, address ``[n, L]``.

        They come from the cloud's centre over many steps, or, if ``near``, from points of the cloud: these are nearer
        to the attractor than those of a code still wrong, but have a map close to the identity look right.
        """
        rng = self.rng if seed is None else np.random.default_rng(seed)
        start = rng.integers(0, len(self.target), n)
        origin = self.target.lookup.points[start] if near else np.tile(self.centre, (n, 1))
        out = np.empty((n, 3))
        address = np.empty((n, DEPTH), np.int64)
        cumulative = np.cumsum(weights / weights.sum())
        burn = 0 if near else burn_in(maps, weights)
        _walk(maps, cumulative, burn, int(rng.integers(1 << 31)), origin, out, address)
        return out, origin, address

    def match(
        self,
        maps: np.ndarray,
        weights: np.ndarray,
        *,
        points: int | None = None,
        seed: int | None = None,
        near: bool = False,
    ) -> Sample:
        """Draw the attractor and match it both ways with the cloud."""
        n = self.points if points is None else min(points, self.points)
        out, origin, address = self.draw(maps, weights, n, seed=seed, near=near)
        y = np.ascontiguousarray(out[:, : self.target.dim])
        x = self.target.points
        subset = np.arange(len(x)) if n >= len(x) else np.sort(self.rng.choice(len(x), n, replace=False))
        forward, hit = self.target.tree.query(y, workers=self.workers)
        backward, source = cKDTree(y, balanced_tree=False, compact_nodes=False).query(x[subset], workers=self.workers)
        return Sample(y, origin, address, forward, hit, subset, backward, source)

    def reach(self, sample: Sample) -> float:
        """Distance within which nine of ten points are matched, in spacings, local ones where those are wider."""
        spacing = np.maximum(self.target.spacing, np.median(self.target.spacing))
        f, b = sample.forward / spacing[sample.hit], sample.backward / spacing[sample.subset]
        return float(max(np.quantile(f, 0.9), np.quantile(b, 0.9)))

    def score(self, sample: Sample) -> Score:
        """Score a matched sample; lower is better."""
        return _score(sample.forward, np.repeat(sample.backward, self.target.counts[sample.subset]))

    def floor(self, points: int) -> Score:
        """Score that ``points`` of an independent sample of the same set would have."""
        z, counts = self.target.points, self.target.counts
        apart = crowding(z, self.target.tree)
        nearest = np.where(counts > 1, 0.0, self.target.tree.query(z, k=2, workers=-1)[0][:, 1])
        if points >= counts.sum():
            forward = apart * np.repeat(nearest, counts)
            return _score(forward, forward)
        x = np.repeat(z, counts, axis=0)
        order = np.random.default_rng(0).permutation(len(x))
        part, rest = x[order[:points]], x[order[points:]]
        return _score(apart * np.repeat(nearest, counts), apart * cKDTree(part).query(rest, workers=-1)[0])

    def weigh(self, sample: Sample, k: int) -> np.ndarray:
        """Weights ``[K]``: the fraction of the cloud nearest to each map's piece, at least 1/1000."""
        mass = np.bincount(sample.owner(), minlength=k) / len(sample.source)
        mass = np.maximum(mass, 1e-3)
        return mass / mass.sum()

    def refine(
        self, maps: np.ndarray, weights: np.ndarray, *, steps: int, tau: tuple[float, float],
        points: int | None = None, uneven: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Refine maps and weights by Gauss-Newton with Geman-McClure weights of width tau[0] -> tau[1] spacings.

        With ``uneven``, distances count in units of the local spacing where that is wider than usual: the parts of a
        cloud that are dense tell the maps exactly, and those of few points do not.
        """
        target, dim = self.target, self.target.dim
        k, d1 = len(maps), dim + 1
        maps = maps.copy()
        seed = int(self.rng.integers(1 << 31))  # common random numbers make the steps converge
        velocity = np.zeros((k, dim, d1))
        best, best_total = (maps.copy(), weights), np.inf
        spacing = float(np.median(target.spacing))
        for step in range(steps):
            width = spacing * tau[0] * (tau[1] / tau[0]) ** (step / max(steps - 1, 1))
            s = self.match(maps, weights, points=points, seed=seed, near=True)
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
            if uneven:
                w *= (spacing / np.maximum(local, spacing)) ** 2
            a, g = _accumulate(maps, dim, s.origin, s.address, rows, aims, w, JDEPTH)
            scale = np.diag(a).copy()
            a[np.diag_indices_from(a)] += DAMPING * scale + 1e-9 * scale.max() + 1e-12
            move = RELAX * np.linalg.solve(a, g).reshape(k, dim, d1)
            velocity = MOMENTUM * velocity + move
            maps[:, :dim, :dim] += velocity[:, :, :dim]
            maps[:, :dim, 3] += velocity[:, :, dim]
            self.clip(maps)
            weights = 0.5 * weights + 0.5 * (self.density.weigh(maps) if self.density else self.weigh(s, k))
        s = self.match(maps, weights, points=points, seed=seed, near=True)
        return (maps, weights) if self.score(s).total <= best_total else best

    def clip(self, maps: np.ndarray) -> None:
        """Clip singular values to the cap and the required isotropy, in place."""
        clip_maps(maps, self.target.dim, self.cap, self.isotropy)


def _worst(d: np.ndarray) -> float:
    k = max(1, len(d) // 200)
    return float(np.partition(d, len(d) - k)[-k:].mean())


def _score(f: np.ndarray, b: np.ndarray) -> Score:
    chamfer = float(f.mean() + b.mean()) / 2
    tail = float(np.quantile(f, 0.98) + np.quantile(b, 0.98)) / 2
    worst = (_worst(f) + _worst(b)) / 2
    return Score(chamfer, tail, worst, chamfer + 0.1 * tail + 0.04 * worst)
