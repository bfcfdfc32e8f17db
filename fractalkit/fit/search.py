"""Global search: a pool of self-maps of the cloud, and the selection of K of them that cover it best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numba as nb
import numpy as np
from scipy.spatial import cKDTree

from fractalkit.errors import DataError
from fractalkit.fit import kernels
from fractalkit.fit.target import Target

REACH = 24.0  # cap on the cost of a point, in spacings


@dataclass
class Pool:
    """Self-maps ``[H, 3, 4]`` and the cost ``[H, M]`` of covering point m by map h."""

    maps: np.ndarray
    cost: np.ndarray  # [H, M] float32, distance to the image plus the image's own mean distance from the cloud
    forward: np.ndarray  # [H] that mean distance, amplified by the collage theorem
    size: np.ndarray  # [H] norm

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: np.ndarray) -> Pool:
        return Pool(self.maps[index], self.cost[index], self.forward[index], self.size[index])


class Searcher:
    """Grows a :class:`Pool` for one target in rounds, every second one aimed at uncovered parts."""

    def __init__(
        self, target: Target, rng: np.random.Generator, *, cap: float, isotropy: float = 0.0, witnesses: int = 1500
    ) -> None:
        self.target, self.rng, self.cap, self.isotropy = target, rng, cap, isotropy
        lk = target.lookup
        self.grid = (lk.points, lk.graph, lk.cells, lk.shape, lk.low, lk.inverse)
        pad = 0.02
        self.low = np.full(3, -1e-9)
        self.high = np.full(3, 1e-9)
        self.low[: target.dim] = target.points.min(axis=0) - pad
        self.high[: target.dim] = target.points.max(axis=0) + pad
        self.spacing = float(np.median(target.spacing))
        self.evens = self._even(3000)
        # half by mass, half by extent, so that sparse parts (a stem, a tip) count too
        self.fore = self._mixed(320)
        self.probes = self._mixed(40)
        self.back = self._mixed(witnesses)
        self.reach = REACH * self.spacing
        self.anchors = self._far_pairs()
        self.pool = Pool(np.zeros((0, 3, 4)), np.zeros((0, len(self.back)), np.float32), np.zeros(0), np.zeros(0))

    def _mixed(self, size: int) -> np.ndarray:
        """Indices, half drawn by mass and half uniformly over the cloud's extent, in random order."""
        n = len(self.target)
        some = self.rng.choice(n, min(n, size // 2), replace=False)
        even = self.rng.choice(self.evens, min(len(self.evens), size // 2), replace=False)
        return self.rng.permutation(np.union1d(some, even)).astype(np.int64)

    def _even(self, count: int) -> np.ndarray:
        """Indices of about ``count`` points, one for each occupied cell of a grid."""
        z = self.target.points
        order = self.rng.permutation(len(z))
        lo, hi = 1e-4, 1.0
        first = order
        for _ in range(14):
            side = math.sqrt(lo * hi)
            _, index = np.unique(np.floor(z[order] / side).astype(np.int64), axis=0, return_index=True)
            first = order[index]
            lo, hi = (side, hi) if len(first) > count else (lo, side)
        return first.astype(np.int64)

    def _far_pairs(self, count: int = 64) -> np.ndarray:
        """Distant pairs of points: extremes along random directions, ``[P, 2]``."""
        z = self.target.points
        u = self.rng.standard_normal((count, z.shape[1]))
        along = z @ u.T
        pairs = np.stack([along.argmin(axis=0), along.argmax(axis=0)], axis=1)
        gap = np.linalg.norm(z[pairs[:, 0]] - z[pairs[:, 1]], axis=1)
        return pairs[gap > 0.5 * gap.max()].astype(np.int64)

    # ---- candidates

    def explore(self, aims: np.ndarray, count: int, keep: int, limit: float = 1.0) -> None:
        """Propose ``count`` maps per band of ratios, register the best ``keep`` of each band, and add the good ones.

        Bands that begin above ``limit`` are skipped.
        """
        found = []
        few = self.back[:160]
        for lo, hi, flat in BANDS:
            if lo >= limit or (flat and (self.target.dim == 1 or self.isotropy > 0.1)):
                continue
            maps, misfit = kernels.propose(
                count, int(self.rng.integers(1 << 31)), self.target.dim, self.anchors, aims.astype(np.int64),
                self.evens, lo, min(hi, self.cap), flat, self.probes, *self.grid,
            )  # fmt: skip
            order = np.argsort(misfit)[: 16 * keep]
            order = order[np.isfinite(misfit[order])]
            maps = maps[order][self.distinct(maps[order], 0.04 * lo)][: 8 * keep]
            if not len(maps):
                continue
            size = np.array([kernels.norm_of(m) for m in maps])
            self._register(
                maps, np.minimum(self.cap, 1.3 * size), self.fore[:64], few, 6, 0.12 * size + 2 * self.spacing,
                0.03 * size + 2 * self.spacing,
            )  # fmt: skip
            order = np.argsort(kernels.inliers(maps, self.fore[:160], self.target.spacing, 2.5, *self.grid)[1])
            found.append(maps[order][self.distinct(maps[order], 2 * self.spacing)][:keep])
        if found:
            self.add(np.concatenate(found))
        if not len(self.pool):
            raise DataError(
                "points: no part of the cloud resembles the whole; leave out points that lie far from all others, or "
                "fit a collage"
            )

    def add(self, maps: np.ndarray) -> None:
        """Register maps ``[H, 3, 4]`` against the cloud and add the distinct good ones to the pool."""
        if not len(maps):
            return
        maps = maps.copy()
        size = np.array([kernels.norm_of(m) for m in maps])
        cap = np.minimum(self.cap, np.maximum(1.3 * size, 0.1))
        self._register(
            maps, cap, self.fore[:128], self.back[:400], 10, 0.05 * size + 2 * self.spacing, 3 * self.spacing
        )
        # drop duplicates of maps that converged to the same place
        order = np.argsort(kernels.inliers(maps, self.fore[:160], self.target.spacing, 4.0, *self.grid)[1])
        order = order[self.distinct(maps[order], 1.5 * self.spacing)]
        maps, cap = maps[order], cap[order]
        self._register(maps, cap, self.fore, self.back, 8, 3 * self.spacing, self.spacing)
        self._insert(maps)

    def _register(self, maps, cap, fore, back, iters, tau0, tau1) -> None:  # type: ignore[no-untyped-def]
        n = len(maps)
        kernels.register(
            maps, self.target.dim, cap, fore, back, iters, np.broadcast_to(tau0, n).astype(float),
            np.broadcast_to(tau1, n).astype(float), *self.grid, self.low, self.high,
        )  # fmt: skip

    def _insert(self, maps: np.ndarray) -> None:
        clip_maps(maps, self.target.dim, self.cap, self.isotropy)
        size = np.array([kernels.norm_of(m) for m in maps])
        fit = (size <= self.cap + 1e-9) & (size > 0.01)
        maps, size = maps[fit], size[fit]
        if not len(maps):
            return
        old, new = self.pool, Pool(maps, *self.cost(maps), size)
        gain = np.maximum(self.reach - new.cost, 0).sum(axis=1)
        new = new[np.argsort(-gain)]
        keep = self.distinct(np.concatenate([old.maps, new.maps]), 1.5 * self.spacing)
        new = new[keep[keep >= len(old)] - len(old)]
        fields = ("maps", "cost", "forward", "size")
        self.pool = Pool(*(np.concatenate([getattr(old, f), getattr(new, f)]) for f in fields))

    def cost(self, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cost ``[H, M]`` and forward distance ``[H]`` of maps, see :class:`Pool`."""
        out = np.empty((len(maps), len(self.back)), np.float32)
        kernels.cover(maps, self.back, self.reach, *self.grid, self.low, self.high, out)
        self._cover_flat(maps, out)
        local = self.target.spacing[self.back]
        out = np.maximum(out - local, 0) + 0.1 * out
        stray, plain = kernels.excess(maps, self.fore, self.target.spacing, self.reach / 4, *self.grid)
        # an error recurs at every depth: the factor 1 / (1 - s) of the collage theorem
        forward = stray / (1 - np.minimum([kernels.norm_of(m) for m in maps], 0.98)) + 0.1 * plain
        return (out + forward[:, None]).astype(np.float32), forward

    def _cover_flat(self, maps: np.ndarray, out: np.ndarray) -> None:
        """Recompute ``out`` for maps too flat to be inverted accurately, with a k-d tree of the image."""
        d = self.target.dim
        if not len(maps) or d == 1:
            return
        sv = np.linalg.svd(maps[:, :d, :d], compute_uv=False)
        some = self.target.points[:: max(1, len(self.target) // 800)]
        witnesses = self.target.points[self.back]
        for h in np.flatnonzero(sv[:, -1] < 0.06 * sv[:, 0]):
            image = some @ maps[h, :d, :d].T + maps[h, :d, 3]
            tree = cKDTree(image, balanced_tree=False, compact_nodes=False)
            out[h] = np.minimum(tree.query(witnesses, distance_upper_bound=self.reach)[0], self.reach)

    def distinct(self, maps: np.ndarray, gap: float) -> np.ndarray:
        """Indices of maps whose images of probe points differ by more than ``gap``, first ones kept."""
        if not len(maps):
            return np.zeros(0, np.int64)
        return _thin(self.frames(maps), gap)

    def frames(self, maps: np.ndarray) -> np.ndarray:
        """Images of eight distant points, ``[H, 24]``, scaled so that distances of rows are root mean squares."""
        probes = self.target.lookup.points[self.anchors[:4].ravel()]  # [8, 3]
        images = np.einsum("hij,pj->hpi", maps[:, :, :3], probes) + maps[:, None, :, 3]
        return images.reshape(len(maps), -1) / math.sqrt(len(probes))

    def mutate(self, chosen: np.ndarray, count: int) -> None:
        """Add perturbed copies of the chosen maps to the pool, by one spacing up to a tenth of the cloud."""
        most = math.log(max(0.1 / self.spacing, 1.0))  # few points may be farther apart than that
        scale = self.spacing * np.exp(self.rng.uniform(0, most, (len(chosen), count)))
        noise = self.rng.standard_normal((len(chosen), count, 3, 4)) * scale[..., None, None]
        noise[:, :, :, 3] *= 0.5
        d = self.target.dim
        noise[:, :, d:] = 0
        noise[:, :, :, d:3] = 0
        self.add((self.pool.maps[chosen][:, None] + noise).reshape(-1, 3, 4))

    def turn(self, chosen: np.ndarray, keep: int) -> None:
        """Add the best ``keep`` of the chosen maps composed with the motions of :meth:`turned`."""
        both = self.turned(self.pool.maps[chosen])
        score = kernels.inliers(both, self.fore[:48], self.target.spacing, 8.0, *self.grid)[1]
        self.add(both[np.argsort(score)[:keep]])

    def turned(self, maps: np.ndarray) -> np.ndarray:
        """Compose maps ``[H, 3, 4]`` with reflections and quarter turns about the principal axes: ``[H Q, 3, 4]``.

        In a nearly symmetric cloud a reflected map is easily mistaken for the right one.
        """
        d = self.target.dim
        centre = self.target.points.mean(axis=0)  # fixed by the motions
        z = self.target.points - centre
        axes = np.linalg.eigh(z.T @ z)[1]
        turns = [
            axes @ (np.eye(d)[list(order)] * signs) @ axes.T
            for order in itertools.permutations(range(d))
            for signs in itertools.product((1.0, -1.0), repeat=d)
        ]
        q = np.array(turns[1:])  # the first one is the identity
        both = np.zeros((len(maps), len(q), 3, 4))
        both[:, :, :d, :d] = np.einsum("hij,qjk->hqik", maps[:, :d, :d], q)
        both[:, :, :d, 3] = (maps[:, :d, :d] @ centre + maps[:, :d, 3])[:, None] - both[:, :, :d, :d] @ centre
        return both.reshape(-1, 3, 4)

    def root(self, chosen: np.ndarray) -> None:
        """Add the square and cube roots of the chosen maps to the pool if they are real.

        Powers of a large map are self-maps too and are found more easily, such as every second whorl of a stem.
        """
        d = self.target.dim
        found = []
        for f in self.pool.maps[chosen]:
            whole = np.eye(d + 1)
            whole[:d, :d], whole[:d, d] = f[:d, :d], f[:d, 3]
            values, vectors = np.linalg.eig(whole)
            if np.linalg.cond(vectors) > 1e6 or (np.abs(values.imag) + np.maximum(values.real, 0) < 1e-9).any():
                continue
            for power in (2, 3):
                r = (vectors * values.astype(complex) ** (1 / power)) @ np.linalg.inv(vectors)
                m = np.zeros((3, 4))
                m[:d, :d], m[:d, 3] = r.real[:d, :d], r.real[:d, d]
                if np.abs(r.imag).max() < 1e-9 and kernels.norm_of(m) <= self.cap:
                    found.append(m)
        self.add(np.array(found).reshape(-1, 3, 4))

    def complete(self, kept: np.ndarray, count: int, keep: int, *, limit: float = 1.0, climbs: int = 3) -> None:
        """Search for maps, of norm ``limit`` at most, that cover what the maps ``kept [H, 3, 4]`` leave uncovered.

        Proposals are aimed there. Those that cost least together with ``kept`` are then perturbed and registered again,
        ``climbs`` times. If only little of the cloud is left, this reaches the missing map from far away.
        """
        least = self.cost(kept)[0].min(axis=0)
        bare = self.back[self.bare(least)]
        if len(bare) < 3:
            return
        whole = self.pool

        def best(count: int) -> np.ndarray:
            return np.argsort(self.left(least, self.pool.cost) + self.reach * (self.pool.size > limit))[:count]

        # work in a separate pool that starts with the best maps; the best results are added back
        order = best(300)
        self.pool = whole[order[self.distinct(whole.maps[order], 3 * self.spacing)]]
        self.explore(bare, count, keep, limit)
        for climb in range(climbs):
            order = best(600)
            order = order[self.distinct(self.pool.maps[order], 6 * self.spacing)][:12]
            if climb == 0:
                self.turn(order, 100)
            self.mutate(order, 40)
        found, self.pool = self.pool.maps[best(100)], whole
        self._insert(found)

    def bare(self, least: np.ndarray) -> np.ndarray:
        """Mask of the witnesses that no map comes near, given the cost ``least [M]`` of the cheapest one."""
        local = np.maximum(self.target.spacing[self.back], self.spacing)
        return least > local

    def left(self, least: np.ndarray, cost: np.ndarray) -> np.ndarray:
        """Mean cost ``[H]`` that remains after adding each map of ``cost [H, M]`` to maps that cost ``least [M]``.

        Only uncovered witnesses count if there are any; elsewhere sampling alone makes any map gain a little.
        """
        bare = self.bare(least)
        if bare.sum() >= 5:
            least, cost = least[bare], cost[:, bare]
        return np.minimum(least, cost).mean(axis=1)

    def divisors(self, count: int) -> np.ndarray:
        """Indices of distinct large maps of the pool whose images are closest to the cloud, probably compositions."""
        big = np.flatnonzero(self.pool.size > 0.25)
        order = big[np.argsort(self.pool.forward[big])][: 12 * count]
        apart = order[self.distinct(self.pool.maps[order], 8 * self.spacing)][: 3 * count]
        return self.rng.permutation(apart)[:count]

    def divide(self, chosen: np.ndarray, keep: int) -> None:
        """Add quotients f^-1 g and g f^-1 of the pool's maps g by the chosen maps f, the best ``keep`` of each f.

        Proposals find compositions of the generators first. The quotient of two such words is a shorter word, and the
        shortest words are the generators.
        """
        d = self.target.dim
        g = self.pool.maps[self.rng.permutation(len(self.pool))[:4000]]
        found = []
        for f in self.pool.maps[chosen]:
            sv = np.linalg.svd(f[:d, :d], compute_uv=False)
            if sv[-1] < 0.05 * sv[0]:
                continue
            inverse = np.linalg.inv(f[:d, :d])
            q = np.zeros((2, *g.shape))
            q[0, :, :d, :d] = inverse @ g[:, :d, :d]
            q[0, :, :d, 3] = (g[:, :d, 3] - f[:d, 3]) @ inverse.T
            q[1, :, :d, :d] = g[:, :d, :d] @ inverse
            q[1, :, :d, 3] = g[:, :d, 3] - q[1, :, :d, :d] @ f[:d, 3]
            both = q.reshape(-1, 3, 4)
            size = np.linalg.norm(both[:, :d, :d], ord=2, axis=(1, 2)) if len(both) else np.zeros(0)
            both = both[(size < self.cap) & (size > 0.02)]
            if not len(both):
                continue
            score = kernels.inliers(both, self.fore[:48], self.target.spacing, 8.0, *self.grid)[1]
            order = np.argsort(score)[: 8 * keep]
            order = order[score[order] < 12]
            found.append(both[order][self.distinct(both[order], 3 * self.spacing)][:keep])
        if found:
            self.add(np.concatenate(found))

    # ---- choice

    def choose(self, k: int, *, starts: int = 4) -> np.ndarray:
        """Indices ``[k]`` of the pool's maps that cost least together: greedy choice and swaps from several starts."""
        best, best_cost = None, math.inf
        cost = np.ascontiguousarray(np.minimum(self.pool.cost, self.reach * 2))
        for s in range(starts):
            chosen, total = _k_median(cost, min(k, len(self.pool)), int(self.rng.integers(1 << 31)), s > 0)
            if total < best_cost:
                best, best_cost = chosen, total
        assert best is not None
        return best

    def pick(self, k: int, rng: np.random.Generator, *, shake: bool) -> np.ndarray:
        """Choose k maps; with ``shake`` a different good choice each time, often of small maps only."""
        allowed = np.arange(len(self.pool))
        if shake:
            small = np.flatnonzero(self.pool.size <= self.cap * rng.choice([1.0, 0.9, 0.75, 0.6]))
            allowed = small if len(small) >= 2 * k else allowed
        cost = np.minimum(self.pool.cost[allowed], self.reach * 2)
        return allowed[_k_median(cost, min(k, len(allowed)), int(rng.integers(1 << 31)), shake)[0]]

    def several(self, k: int) -> np.ndarray:
        """Indices of the maps in several choices."""
        return np.unique(np.concatenate([self.pick(k, self.rng, shake=s > 0) for s in range(5)]))

    def uncovered(self, chosen: np.ndarray, factor: float = 3.0) -> np.ndarray:
        """Indices of the witnesses that no chosen map's image comes near."""
        local = np.maximum(self.target.spacing[self.back], self.spacing)
        nearest = (self.pool.cost[chosen] - self.pool.forward[chosen, None]).min(axis=0)
        return self.back[nearest > factor * local]


def clip_maps(maps: np.ndarray, dim: int, cap: float, isotropy: float) -> None:
    """Clip singular values of maps ``[H, 3, 4]``, in place: at most ``cap``, at least ``isotropy`` of the largest.

    The image of the cloud's centre, the origin, stays where it is.
    """
    u, sv, vt = np.linalg.svd(maps[:, :dim, :dim])
    top = np.minimum(sv[:, :1], cap)
    want = np.clip(sv, isotropy * top, top)
    change = np.flatnonzero((np.abs(want - sv) > 1e-12).any(axis=1))
    maps[change, :dim, :dim] = (u[change] * want[change, None, :]) @ vt[change]


@nb.njit(cache=True, nogil=True)
def _thin(rows, gap):  # type: ignore[no-untyped-def]
    keep = np.empty(len(rows), np.int64)
    n = 0
    for i in range(len(rows)):
        fresh = True
        for e in range(n):
            d = 0.0
            for c in range(rows.shape[1]):
                d += (rows[i, c] - rows[keep[e], c]) ** 2
                if d > gap * gap:
                    break
            if d <= gap * gap:
                fresh = False
                break
        if fresh:
            keep[n] = i
            n += 1
    return keep[:n]


@nb.njit(cache=True, nogil=True)
def _cheapest(cost, least, bound, factor, shake):  # type: ignore[no-untyped-def]
    """Row r of cost ``[H, M]`` with a small sum of min(least, cost[r]), and that sum; -1 if none is below ``bound``.

    A row replaces the best one before it if its sum is less than ``factor`` times that. With ``shake`` rows are skipped
    with probability 0.3.
    """
    best, best_total = -1, bound
    for r in range(cost.shape[0]):
        if shake and np.random.random() < 0.3:
            continue
        total = 0.0
        for n in range(cost.shape[1]):
            total += min(least[n], cost[r, n])
            if total > best_total:
                break
        if total < best_total * factor:
            best, best_total = r, total
    return best, best_total


@nb.njit(cache=True, nogil=True)
def _least_without(cost, chosen, left_out, least):  # type: ignore[no-untyped-def]
    """Column minima ``least [M]`` of the chosen rows without the one at index ``left_out``."""
    for n in range(cost.shape[1]):
        v = np.float32(np.inf)
        for e in range(len(chosen)):
            if e != left_out:
                v = min(v, cost[chosen[e], n])
        least[n] = v


@nb.njit(cache=True, nogil=True)
def _k_median(cost, k, seed, shake):  # type: ignore[no-untyped-def]
    """k rows of cost ``[H, M]`` with a small sum of column minima: greedy choice, then swaps until none helps."""
    np.random.seed(seed)
    h, m = cost.shape
    chosen = np.empty(k, np.int64)
    least = np.full(m, np.float32(np.inf))
    for c in range(k):
        best, _ = _cheapest(cost, least, np.inf, 1.0, shake)
        if best < 0:
            best = np.random.randint(h)
        chosen[c] = best
        for n in range(m):
            least[n] = min(least[n], cost[best, n])
    total = np.float64(least.sum())
    without = np.empty(m, np.float32)
    for _ in range(20):
        improved = False
        for c in range(k):
            _least_without(cost, chosen, c, without)
            best, best_total = _cheapest(cost, without, total, 1 - 1e-6, False)
            if best >= 0 and best != chosen[c]:
                chosen[c], total, improved = best, best_total, True
        if not improved:
            break
    return chosen, total / m


# Ranges of the contraction ratio of proposals, and whether they are needles.
BANDS = [
    (0.03, 0.1, False), (0.1, 0.2, False), (0.2, 0.35, False), (0.35, 0.5, False), (0.5, 0.65, False),
    (0.65, 0.8, False), (0.8, 0.95, False), (0.05, 0.2, True), (0.2, 0.6, True),
]  # fmt: skip


def grow_pool(searcher: Searcher, k: int, *, rounds: int, count: int, keep: int) -> Iterator[None]:
    """Fill the pool in rounds, every second one aimed at what the best K maps leave uncovered.

    Yields after the proposals of each round and again after the maps derived from them.
    """
    for r in range(rounds):
        aims = searcher.evens
        if r % 2:
            missing = searcher.uncovered(searcher.pick(k, searcher.rng, shake=False))
            aims = missing if len(missing) >= 3 else aims
        searcher.explore(aims, count, keep)
        yield
        for _ in range(2):
            searcher.root(searcher.several(k))
            by = np.union1d(searcher.divisors(8), searcher.choose(k, starts=1)[:8])
            searcher.divide(by, max(600 // len(by), 20))
            several = searcher.several(k)
            searcher.mutate(several, max(500 // len(several), 8))
            searcher.turn(several, 150)
        yield
