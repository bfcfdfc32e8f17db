"""The inverse problem: from a point cloud to the code of which it is the attractor.

    sanitise      drop what is not finite or double, scale, reduce to the subspace that holds the cloud   (target.py)
    pool          millions of random maps, the best registered: self-maps, f(X) close to X               (search.py)
    choose        K of the pool that cover the cloud, a k-median problem                                 (search.py)
    hop           replace, shake, grow and prune maps by how well the attractor itself fits              (hop.py)
    refine        Gauss-Newton through the orbit, all words at once                                      (refine.py)
    weigh, paint  weights by the mass each map's piece holds, colours by address                         (here)

Restarts go on until the attractor is as near to the cloud as another sample of the same set would be, or the budget is
spent. All budgets are counts, so that a seed fixes the result whatever the machine.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import DataError, UsageError
from fractalkit.fit.hop import Budget, Candidate, Hopper
from fractalkit.fit.refine import DEPTH, Refiner
from fractalkit.fit.search import Searcher, grow_pool
from fractalkit.fit.target import Target, make_target

MAX_FIT_MAPS = 64
GOOD = 1.03  # times the sampling floor: no better than this need be looked for
ENOUGH = 1.05  # times the floor: what "auto" asks of a number of maps
FRACTAL = 1.6  # times the floor: beyond this the cloud is no attractor of so few maps
HOPELESS = 3.0  # times the floor: where a restart ends beyond this, another one does not help
MISSED = 0.5  # times what round maps come to: an attractor that was nearly found, by maps that are not round
COMPLETED = 12  # maps, at most, for which a look for just the missing ones pays
STRIDE = 4  # hops between two looks at how far the chains are
_CAP = 0.95  # largest norm of a fitted map
_AUTO = (2, 3, 4, 5, 6, 8, 11, 15, 20, 27, 36)


def fit_cloud(
    points: Tensor | np.ndarray,
    *,
    maps: int | str = "auto",
    colours: Tensor | np.ndarray | None = None,
    effort: int = 5,
    seed: int = 0,
    generator: torch.Generator | None = None,
    isotropy: float | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> AffineIFS:
    """Fit an affine IFS to a cloud.

    Args:
        points: ``[N, D]``, D = 2 or 3, any scale; at least 20 distinct finite points. Above 20,000 a sample is fitted.
        maps: K, 1 to 64; or "auto", the smallest number of maps whose attractor is as near to the cloud as another
            sample of the same set would be, or, where there is none, the number that an elbow rule picks: the last that
            still takes a tenth off the error of the one before.
        colours: RGB in [0, 1] ``[N, 3]``; the code's maps then get colours whose blend along addresses is nearest to
            them in least squares.
        effort: 0 (seconds) to 9 (many minutes); each step doubles the work. 5 is at most about a minute on two cores.
        seed: fixes the result; ``generator``, where given, is drawn from instead.
        isotropy: least ratio of a map's smallest to its largest singular value, 0 to 1. None begins with 0 and, for
            clouds that turn out to be no attractor, asks for 0.4, which draws them in recognisable copies of
            themselves.
        progress: called with a short word and the share of the work done.

    Returns:
        The code, float64, in the cloud's own units, every norm at most 0.95; ``provenance`` says what was done.

    Raises:
        DataError: too few distinct points, a wrong shape, or coordinates too large.
        UsageError: an option out of range.
    """
    if isinstance(maps, bool) or not (maps == "auto" or (isinstance(maps, int) and 1 <= maps <= MAX_FIT_MAPS)):
        raise UsageError(f"maps: expected a number from 1 to {MAX_FIT_MAPS} or 'auto', got {maps!r}")
    if not 0 <= effort <= 9:
        raise UsageError(f"effort: expected 0 to 9, got {effort}")
    if isotropy is not None and not 0 <= isotropy <= 1:
        raise UsageError(f"isotropy: expected 0 to 1, got {isotropy}")
    x = np.asarray(points.detach().cpu() if isinstance(points, Tensor) else points)
    if x.dtype.kind not in "fiu":
        raise DataError(f"points: expected numbers, got an array of {x.dtype}")
    rgb = None
    if colours is not None:
        rgb = np.asarray(colours.detach().cpu() if isinstance(colours, Tensor) else colours, dtype=np.float64)
        if rgb.shape != (len(x), 3) or not np.isfinite(rgb).all():
            raise DataError(f"colours: expected finite numbers of shape [{len(x)}, 3], got {list(rgb.shape)}")
    if generator is not None:
        seed = int(torch.randint(0, 2**62, (), generator=generator))
    rng = np.random.default_rng(seed)
    target = make_target(x, limit=20_000, rng=rng)
    say = progress or (lambda word, share: None)
    fit = _Fit(target, effort, rng, say)
    best, rule = fit.auto(isotropy) if maps == "auto" else (fit.fixed(int(maps), isotropy, 0.0, 1.0), "given")
    return _code(target, fit, best, rule, x, rgb, {"seed": seed, "effort": effort})


class _Fit:
    """One fit under way: the target, its floor, and the budget."""

    def __init__(
        self, target: Target, effort: int, rng: np.random.Generator, say: Callable[[str, float], None]
    ) -> None:
        self.target, self.effort, self.rng, self.say = target, effort, rng, say
        self.floor = Refiner(target, rng, cap=_CAP, points=20_000).floor(len(target))
        self.isotropy = 0.0

    def refiner(self, *, workers: int) -> Refiner:
        """A refiner with a random stream of its own."""
        rng = np.random.default_rng(int(self.rng.integers(1 << 62)))
        return Refiner(self.target, rng, cap=_CAP, points=20_000, isotropy=self.isotropy, workers=workers)

    def budget(self, k: int) -> Budget:
        work = 2.0 ** (self.effort - 5)
        return Budget(
            rounds=2,
            proposals=int(50_000 * min(work**0.5, 4)),
            keep=100 if self.effort >= 3 else 60,
            starts=8,
            # what a hop costs grows with the number of maps, pruning with its square
            hops=max(4, int(28 * min(1.0, (8 / k) ** 1.3) * min(1.0, 2 * work))),
            points=5000,
            polish=14,
        )

    def restarts(self, k: int) -> int:
        return max(1, round(4 * 2.0 ** (self.effort - 5) * min(1.0, (8 / k) ** 0.5)))

    def solve(
        self, k: int, start: float, end: float, *, restarts: int | None = None, more: Candidate | None = None
    ) -> Candidate:
        """Restarts, with one growing pool, until one is good enough; ``more`` is a code of k + 1 maps to prune."""
        budget, restarts = self.budget(k), restarts or self.restarts(k)
        searcher = Searcher(self.target, self.rng, cap=_CAP, isotropy=self.isotropy)
        best: Candidate | None = None
        steps = restarts * (2 * budget.rounds + budget.hops // STRIDE + 1)
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            self.say(f"{k} maps", start + (end - start) * min(done / steps, 1.0))

        for _ in range(restarts):
            # Two chains, one afresh and one with the best so far: side by side, in step, so that neither the number of
            # cores nor their speed has a say in the result.
            chains = [Hopper(searcher, self.refiner(workers=1), budget) for _ in range(2)]
            for _ in grow_pool(searcher, k, rounds=budget.rounds, count=budget.proposals, keep=budget.keep):
                tick()
                # what is easy is found in the first proposals: then no more need be made
                chains[0].begin(k, first=True)
                if chains[0].best.score.total <= chains[0].enough:
                    chains = chains[:1]
                    break
            with ThreadPoolExecutor(2) as pool:
                if len(chains) > 1:
                    known = chains[1].without_least(more) if more is not None and best is None else best
                    list(pool.map(lambda h, c: h.begin(k, c), chains, (None, known)))
                tick()
                for i in range(0, budget.hops, STRIDE):
                    if any(h.best.score.total <= h.enough for h in chains):
                        break
                    if 1 < k <= COMPLETED and i % (2 * STRIDE) == 0:
                        kept = [h.sure(h.best) for h in chains]
                        # the pool is both chains': nobody reads it while it grows
                        limit = float(self.rng.choice([1.0, 0.75, 0.5, 0.5]))
                        which = i // (2 * STRIDE) % 2
                        searcher.complete(kept[which], budget.proposals // 5, budget.keep // 2, limit=limit)
                        list(pool.map(lambda h, m: h.complete(m, k), chains, kept))
                    list(pool.map(lambda h: h.advance(STRIDE), chains))
                    tick()
                candidates = list(pool.map(lambda h: h.finish(), chains))
            best = min([*candidates, *([best] if best else [])], key=lambda c: c.score.total)
            ratio = best.score.total / self.floor.total
            if ratio <= GOOD or ratio > HOPELESS:
                break
        assert best is not None
        return best

    def fixed(self, k: int, isotropy: float | None, start: float, end: float) -> Candidate:
        """A code of k maps, rounder where the cloud is no attractor and nobody said otherwise."""
        self.isotropy = isotropy or 0.0
        middle = start + (end - start) / 2
        best = self.solve(k, start, middle if isotropy is None else end)
        if isotropy is None and best.score.total > FRACTAL * self.floor.total and self.target.dim > 1:
            self.isotropy = 0.4
            rounder = self.solve(k, middle, end)
            if best.score.total < MISSED * rounder.score.total:
                self.isotropy = 0.0  # an attractor of flat maps, of which one is not yet found
            else:
                best = rounder
        return best

    def auto(self, isotropy: float | None) -> tuple[Candidate, str]:
        """Try growing numbers of maps; stop at the sampling floor or at the elbow."""
        self.isotropy = isotropy or 0.0
        tried: list[tuple[int, Candidate]] = []
        for i, k in enumerate(_AUTO):
            c = self.solve(k, 0.7 * i / len(_AUTO), 0.7 * (i + 1) / len(_AUTO), restarts=1)
            tried.append((k, c))
            if c.score.total <= ENOUGH * self.floor.total:
                k, c = self.fewer(k, c)
                return c, f"the fewest maps found that reach the sampling floor: {k}"
            if len(tried) > 3 and tried[-1][1].score.total > 0.9 * tried[-3][1].score.total:
                break
        k = _elbow([(k, c.score.total) for k, c in tried])
        if isotropy is None:
            return self.fixed(k, None, 0.7, 1.0), f"elbow at {k} maps; the cloud is no attractor of a few"
        return next(c for n, c in tried if n == k), f"elbow at {k} maps"

    def fewer(self, k: int, best: Candidate) -> tuple[int, Candidate]:
        """The smallest number of maps below k, one at a time, whose attractor still reaches the floor."""
        while k > 1:
            c = self.solve(k - 1, 0.7, 1.0, more=best)
            if c.score.total > ENOUGH * self.floor.total:
                break
            k, best = k - 1, c
        return k, best


def _elbow(tried: list[tuple[int, float]]) -> int:
    """The last number of maps that took at least a tenth off the error of the one before it."""
    k = tried[0][0]
    for (_, before), (n, after) in itertools.pairwise(tried):
        if after <= 0.9 * before:
            k = n
    return k


def _code(
    target: Target, fit: _Fit, best: Candidate, rule: str, x: np.ndarray, rgb: np.ndarray | None, made: dict[str, Any]
) -> AffineIFS:
    """The candidate as a code in the cloud's units, heaviest maps first, weighed and painted."""
    d = target.dim
    refiner = Refiner(target, np.random.default_rng(0), cap=_CAP, isotropy=0.0, points=20_000)
    sample = refiner.match(best.maps, best.weights, seed=1)
    weights = refiner.weigh(sample, len(best.maps))
    order = np.argsort(-weights, kind="stable")
    maps, weights = best.maps[order], weights[order]
    a, t = target.subspace.lift(maps[:, :d, :d], maps[:, :d, 3])
    paint = None
    speed = 0.6
    if rgb is not None:
        rank = np.argsort(order)
        paint = _paint(rank[sample.address[sample.source]], rgb[target.kept[sample.subset]], len(maps), speed)
    provenance = {
        "fit": "fractalkit.fit.fit_cloud",
        **made,
        "maps_rule": rule,
        "notes": list(target.notes),
        "input_points": len(x),
        "fitted_points": len(target),
        "input_sha256": hashlib.sha256(np.ascontiguousarray(x, dtype=np.float64).tobytes()).hexdigest(),
        "isotropy": fit.isotropy,
        "score": {"total": best.score.total, "floor": fit.floor.total, "ratio": best.score.total / fit.floor.total},
    }
    ifs = AffineIFS(
        torch.from_numpy(np.ascontiguousarray(a)),
        torch.from_numpy(np.ascontiguousarray(t)),
        torch.from_numpy(weights),
        None if paint is None else torch.from_numpy(paint),
        speed,
        provenance=provenance,
    )
    return ifs.check_contractive()


def _paint(address: np.ndarray, rgb: np.ndarray, k: int, speed: float) -> np.ndarray:
    """Map colours ``[K, 3]`` whose blend along addresses ``[M, L]`` is nearest to rgb ``[M, 3]``, by least squares."""
    design = np.zeros((len(address), k))
    left = 1.0
    rows = np.arange(len(address))
    for j in range(DEPTH):
        share = speed * left if j < DEPTH - 1 else left
        np.add.at(design, (rows, address[:, j]), share)
        left *= 1 - speed
    # a slight pull towards the mean keeps maps that own few points from wild colours
    mean = rgb.mean(axis=0)
    ridge = 1e-3 * len(address) / k
    normal = design.T @ design + ridge * np.eye(k)
    return np.clip(np.linalg.solve(normal, design.T @ (rgb - mean)) + mean, 0.0, 1.0)


def collage_bound(ifs: AffineIFS, cloud: Tensor | np.ndarray) -> float:
    """The collage theorem's bound on the Hausdorff distance between the attractor and a cloud, in the cloud's units.

    h(X, attractor) <= h(X, ∪ f_k(X)) / (1 - max ||A_k||), with both sides measured on the points given.
    """
    from scipy.spatial import cKDTree

    x = np.asarray(cloud.detach().cpu() if isinstance(cloud, Tensor) else cloud, dtype=np.float64)
    y = ifs.hutchinson(torch.from_numpy(x).to(ifs.matrices)).reshape(-1, ifs.dim).cpu().numpy()
    distance = max(float(cKDTree(x).query(y, workers=-1)[0].max()), float(cKDTree(y).query(x, workers=-1)[0].max()))
    return distance / max(1 - ifs.lipschitz(), 1e-12) if math.isfinite(distance) else math.inf
