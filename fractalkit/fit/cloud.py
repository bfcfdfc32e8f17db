"""The inverse problem for point clouds: find a code whose attractor is the cloud.

    sanitise      drop non-finite points and duplicates, scale, reduce to the subspace that holds the cloud  (target.py)
    measure       up to 12 maps: gather maps and make codes of them by the density, on grids        (measure_search.py)
    polish        by density and distance, on all points                                                    (here)

at effort 0 in the plane, in place of a search:

    propose       a network's maps, and sets of them that make up the cloud                          (amortised.py)

more maps, or rounder ones than the best:

    pool          register the best of millions of random maps as self-maps, f(X) close to X                (search.py)
    choose        select K maps of the pool that cover the cloud, a k-median problem                        (search.py)
    hop           replace, perturb, add and prune maps by how well the attractor fits                       (hop.py)
    refine        Gauss-Newton through the orbit, at all depths                                             (refine.py)
    weigh         weights by the mass of each map's piece                                                   (here)
    paint         colours by address, or by address and position                                        (paint.py)

The search continues until the attractor is as close to the cloud as an independent sample of the same set would be, or
the budget is spent. All budgets are counts, so that a seed determines the result on any machine.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.errors import UsageError
from fractalkit.fit.amortised import proposed_maps, quick_codes
from fractalkit.fit.density import Density
from fractalkit.fit.hop import Budget, Candidate, Hopper
from fractalkit.fit.measure_search import Archive, Measured, MeasureSearch
from fractalkit.fit.paint import paint
from fractalkit.fit.refine import Refiner
from fractalkit.fit.search import Searcher, grow_pool
from fractalkit.fit.target import Target, as_colours, as_numbers, make_target

MAX_FIT_MAPS = 64
FEW = (4, 8, 20)  # maps that tell whether a cloud is an attractor
# Thresholds on the score, relative to the sampling floor:
GOOD = 1.03  # good enough to stop,
NEAR = 1.08  # for a search that also looks at the density, which is told by the Chamfer distance alone
ENOUGH = 1.05  # required of a number of maps by "auto"
FARTHEST = 1.5  # required of the farthest points
FRACTAL = 1.6  # above this the cloud is not an attractor of so few maps
FRACTAL_QUICKLY = 1.3  # at most this after a quick fit: the cloud is an attractor
HOPELESS = 3.0  # a restart that ends above this is not repeated
MISSED = 0.5  # relative to the score of rounder maps: below this, an attractor of flat maps was nearly found
COMPLETED = 12  # largest number of maps for which a search for missing ones pays
MEASURED = 12  # largest number of maps that are searched by density
ROUNDS = {2: 200, 3: 100}  # of that search in the plane and in space, at effort 5,
WORK = 52.0  # and what they and the polishing may cost together, in CPU seconds of a machine of 2024, about:
_ROUND = {2: (0.02, 0.032), 3: (0.05, 0.08)}  # a round on coarse and on fine grids, for each map,
_POLISH = {2: 1e-4, 3: 2e-4}  # and polishing, for each point
BETTER = 0.93  # of a polished code's excess, below which another one is polished
DENSE = 1.15  # misfit of the density above which a code is not good enough,
ASTRAY = 1.35  # and above which some map is wrong, which distances do not mend
_WIDE = 6.0  # spacings within which points are matched, so that their distances need no wider weights
STRIDE = 4  # hops between two checks of the chains
_CAP = 0.95  # upper bound of the norm of a map that is proposed
_LIMIT = 0.985  # and of one that is refined by the attractor
_AUTO = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 27, 36)
BRIEF = 0.15  # of the rounds and the work for each number of maps that "auto" tries
CLOSE = 1.08  # excess of the density at which such a search ends,
POLISHED = 1.6  # and above which its code is not polished
SAME = 1.03  # ratio of misfits that are alike
PASSED = range(2, 9)  # numbers of maps that a network proposes,
LIKE = 1.15  # ratio of distances on coarse grids that are alike,
_FINALISTS = 3  # and codes of them that are compared on finer grids
_SAMPLE = 5000  # points that these are judged by


def fit_cloud(
    points: Tensor | np.ndarray,
    *,
    maps: int | str = "auto",
    colours: Tensor | np.ndarray | None = None,
    effort: int = 5,
    seed: int = 0,
    generator: torch.Generator | None = None,
    isotropy: float | None = None,
    keep_strays: bool = False,
    progress: Callable[[str, float], None] | None = None,
    callback: Callable[[AffineIFS], None] | None = None,
) -> AffineIFS:
    """Fit an affine IFS to a cloud.

    Args:
        points: ``[N, D]``, D = 2 or 3, any scale; at least 20 distinct finite points. Above 20,000 a sample is fitted.
        maps: K, 1 to 64; or "auto", the smallest number of maps whose attractor is as close to the cloud as an
            independent sample of the same set would be. If there is none, an elbow rule picks the last number that
            reduces the error of the one before by a tenth.
        colours: RGB in [0, 1] ``[N, 3]``; the maps then get colours whose blend along addresses fits them best in least
            squares, or where that explains more of them, affine functions of the position for each map or pair of maps.
        effort: 0 to 9 (many minutes); each step doubles the work, and 5 takes about a minute on two cores. At 0 a
            cloud in the plane gets up to 8 maps that a network proposes, chosen and polished within about a second;
            other clouds, and other numbers of maps, are searched for some seconds.
        seed: determines the result; a ``generator`` is drawn from instead.
        isotropy: minimum ratio of a map's smallest to its largest singular value, 0 to 1. None starts with 0 and, if
            the cloud turns out not to be an attractor, uses 0.4, which draws it in recognisable copies of itself.
        keep_strays: fit points far from all others too (:func:`fractalkit.fit.strays.strays`); they are left out
            otherwise, and a note in the ``provenance`` names them.
        progress: called with a short label and the fraction of the work done.
        callback: called with the best code so far of the present number of maps, without colours, whenever another one
            is the best; it may raise to end the fit.

    Returns:
        The code, float64, in the cloud's own units, every norm at most 0.985; ``provenance`` describes the fit.

    Raises:
        DataError: too few distinct points, a wrong shape, or coordinates too large.
        UsageError: an option out of range.
    """
    _check_options(maps, effort, isotropy)
    x = as_numbers(points)
    rgb = None if colours is None else as_colours(colours, len(x))
    if generator is not None:
        seed = int(torch.randint(0, 2**62, (), generator=generator))
    rng = np.random.default_rng(seed)
    target = make_target(x, limit=20_000, rng=rng, keep_strays=keep_strays)
    fit = _Fit(target, effort, rng, progress or (lambda word, share: None))
    if callback is not None:
        fit.shown = lambda maps, weights: callback(_bare(target, maps, weights))
    best, rule = (fit.passed(maps) if effort == 0 and not isotropy else None) or fit.searched(maps, isotropy)
    fit.say(f"{len(best.maps)} maps", 1.0)
    return _code(target, fit, best, rule, x, rgb, {"seed": seed, "effort": effort})


def _check_options(maps: int | str, effort: int, isotropy: float | None) -> None:
    if isinstance(maps, bool) or not (maps == "auto" or (isinstance(maps, int) and 1 <= maps <= MAX_FIT_MAPS)):
        raise UsageError(f"maps: expected a number from 1 to {MAX_FIT_MAPS} or 'auto', got {maps!r}")
    if not 0 <= effort <= 9:
        raise UsageError(f"effort: expected 0 to 9, got {effort}")
    if isotropy is not None and not 0 <= isotropy <= 1:
        raise UsageError(f"isotropy: expected 0 to 1, got {isotropy}")


class _Fit:
    """State of one fit: the target, its sampling floor, and the budget."""

    def __init__(
        self, target: Target, effort: int, rng: np.random.Generator, say: Callable[[str, float], None]
    ) -> None:
        self.target, self.effort, self.rng, self.say = target, effort, rng, say
        self.floor = Refiner(target, rng, cap=_CAP, points=20_000).floor(int(target.counts.sum()))
        self.isotropy = 0.0
        self.brief = False  # to compare numbers of maps
        self.known: Archive | None = None  # maps found for other numbers of maps
        self.shown: Callable[[np.ndarray, np.ndarray], None] | None = None
        self.last: np.ndarray | None = None  # maps that were shown last
        self.density = Density(target, cap=_LIMIT, seed=int(rng.integers(1 << 31))) if target.dim > 1 else None

    def refiner(self, *, workers: int) -> Refiner:
        """Return a refiner with its own random stream."""
        rng = np.random.default_rng(int(self.rng.integers(1 << 62)))
        return Refiner(self.target, rng, cap=_CAP, points=20_000, isotropy=self.isotropy, workers=workers)

    def show(self, maps: np.ndarray, weights: np.ndarray) -> None:
        """Show the best maps so far, if they are others than those that were shown last."""
        if self.shown is not None and maps is not self.last:
            self.last = maps
            self.shown(maps, weights)

    def budget(self, k: int) -> Budget:
        work = 2.0 ** (self.effort - 5)
        return Budget(
            rounds=2,
            proposals=int(50_000 * min(work**0.5, 4)),
            keep=100 if self.effort >= 3 else 60,
            starts=8,
            # the cost of a hop grows with the number of maps, that of pruning with its square
            hops=max(4, int(28 * min(1.0, (8 / k) ** 1.3) * min(1.0, 2 * work))),
            points=5000,
            polish=14,
        )

    def restarts(self, k: int) -> int:
        return max(1, round(4 * 2.0 ** (self.effort - 5) * min(1.0, (8 / k) ** 0.5)))

    def solve(
        self, k: int, start: float, end: float, *, restarts: int | None = None, more: Candidate | None = None
    ) -> Candidate:
        """Restart with one growing pool until a code is good enough; ``more`` is a code of k + 1 maps to prune."""
        if self.density is not None and self.isotropy == 0 and 1 < k <= MEASURED:

            def say(share: float) -> None:
                self.say(f"{k} maps", start + (end - start) * share)

            return self.tried(k, more, say) if self.brief else self.measured(k, say)
        budget, restarts = self.budget(k), restarts or self.restarts(k)
        searcher = Searcher(self.target, self.rng, cap=_CAP, isotropy=self.isotropy)
        best: Candidate | None = None
        steps = restarts * (2 * budget.rounds + budget.hops // STRIDE + 1)
        done = itertools.count(1)

        def tick() -> None:
            self.say(f"{k} maps", start + (end - start) * min(next(done) / steps, 1.0))

        for _ in range(restarts):
            candidates = [self.graded(c) for c in self.restart(k, searcher, budget, best, more, tick)]
            best = min([*candidates, *([best] if best else [])], key=self.misfit)
            ratio = best.score.total / self.floor.total
            if ratio <= GOOD or ratio > HOPELESS:
                break
        assert best is not None
        return best

    def graded(self, c: Candidate) -> Candidate:
        """The candidate with the misfit of its density."""
        if self.density is None:
            return replace(c, density=1.0)
        return replace(c, density=self.density.misfit(c.maps, c.weights))

    def misfit(self, c: Candidate) -> float:
        """Score over its floor, and half of what the misfit of the density exceeds :data:`DENSE` by."""
        return c.score.total / self.floor.total + 0.5 * max(c.density - DENSE, 0.0)

    def good(self, c: Candidate) -> bool:
        """Whether a code is as near as a sample of the truth, in distance and in density."""
        near = c.score.chamfer <= GOOD * self.floor.chamfer and c.score.total <= NEAR * self.floor.total
        return near and c.density <= DENSE

    def rounds(self) -> int:
        """Rounds of the search by density."""
        return max(6, round(self.share() * ROUNDS[self.target.dim]))

    def share(self) -> float:
        """Of the work at effort 5."""
        return (BRIEF if self.brief else 1.0) * 2.0 ** (self.effort - 5)

    def measured(self, k: int, say: Callable[[float], None]) -> Candidate:
        """Search by density until a code that has been polished is good, or the rounds or the work are spent.

        If the first one is not, self-maps of the cloud join the search, which are right however little mass they have.
        """
        assert self.density is not None
        searcher = Searcher(self.target, self.rng, cap=_CAP, isotropy=self.isotropy)
        search = MeasureSearch(self.density, k, self.rng)
        if self.known is not None:
            search.past.append((self.known.maps, []))
        price = k * np.array(_ROUND[self.target.dim])  # of a round in each stage
        work = max(WORK * self.share(), 12 * float(price.mean()))
        rounds = min(self.rounds(), int(work / price.mean()))
        best: Candidate | None = None
        enough, left = 0.0, rounds

        def tell(n: int) -> None:
            say((done + n) / rounds)
            if best is None:
                self.show(search.front[0].maps, search.front[0].weights)

        say(0.0)
        while best is None or (left > 0 and not self.good(best)):
            done = rounds - left
            spent = price[search.stage]
            found, used = search.run(left, enough=enough, tell=tell)
            work -= used * spent + _POLISH[self.target.dim] * len(self.density.points)
            left = max(min(left - used, int(work / price[search.stage])), 0)
            say((rounds - left) / rounds)
            c = self.polished(found, most=ASTRAY)
            best = c if best is None else min(best, c, key=self.misfit)
            self.show(best.maps, best.weights)
            search.join(search.refined(c.maps, c.weights))
            if not len(searcher.pool) and left > 0 and not self.good(best):
                searcher.explore(searcher.evens, self.budget(k).proposals // 5, 60)
                search.archive.add(searcher.pool.maps)
            enough = BETTER * search.excess(search.front[0])
        say(1.0)
        if best.density <= ASTRAY or self.good(best):
            return best
        return min(best, self.polished(Measured(best.maps, best.weights, 0.0)), key=self.misfit)

    def tried(self, k: int, more: Candidate | None, say: Callable[[float], None]) -> Candidate:
        """Search by density for a few rounds and polish the code if it comes near.

        The search starts with the maps that were found for other numbers of maps, and with the code ``more`` of
        k + 1 maps without the one that it needs least.
        """
        assert self.density is not None
        search = MeasureSearch(self.density, k, self.rng)
        search.inherit(self.known, None if more is None else Measured(more.maps, more.weights, 0.0))
        work = WORK * self.share() / (k * float(np.mean(_ROUND[self.target.dim])))
        rounds = min(self.rounds(), max(int(work), 12))
        say(0.0)
        code, used = search.run(rounds, tell=lambda n: say(n / rounds))
        if search.excess(code) <= HOPELESS:
            code, _ = search.run(rounds - used, enough=CLOSE, tell=lambda n: say((used + n) / rounds))
        search.gather()
        self.known = search.archive
        if search.excess(code) <= POLISHED:
            c = self.polished(code, most=ASTRAY)
            self.known.add(c.maps)
        else:
            refiner = self.refiner(workers=1)
            score = refiner.score(refiner.match(code.maps, code.weights, seed=0))
            c = self.graded(Candidate(code.maps, code.weights, score))
        self.show(c.maps, c.weights)
        say(1.0)
        return c

    def polished(self, code: Measured, *, most: float = math.inf) -> Candidate:
        """Refine a code by density and then, if that misfits by at most so much, by distance, on all points."""
        assert self.density is not None
        maps, weights, _ = self.density.refine(code.maps, code.weights, levels=(1, 2), steps=15)
        maps, weights, _ = self.density.refine(maps, weights, levels=(2,), steps=8, orbits=len(self.density.points))
        rng = np.random.default_rng(int(self.rng.integers(1 << 62)))
        refiner = Refiner(self.target, rng, cap=_LIMIT, points=20_000, isotropy=self.isotropy, density=self.density)
        seed = int(rng.integers(1 << 31))

        def rated(maps: np.ndarray, weights: np.ndarray) -> Candidate:
            return self.graded(Candidate(maps, weights, refiner.score(refiner.match(maps, weights, seed=seed))))

        best = rated(maps, weights)
        stages = [(10, (4.0, 2.0), 5000, True), (12, (3.0, 2.0), None, True), (12, (3.0, 2.0), None, False)]
        # where grids are coarse for the spacing of the points, distances are wide at first
        wide = 0.0 if self.good(best) else refiner.reach(refiner.match(maps, weights, points=5000, seed=seed))
        while wide > _WIDE:
            stages.insert(0, (8, (wide, wide / 3), 5000, True))
            wide /= 3
        for steps, tau, points, uneven in stages:
            if self.good(best) or best.density > most:
                break
            found = refiner.refine(best.maps, best.weights, steps=steps, tau=tau, points=points, uneven=uneven)
            best = min(best, rated(*found), key=self.misfit)
        return best

    def restart(
        self, k: int, searcher: Searcher, budget: Budget, best: Candidate | None, more: Candidate | None,
        tick: Callable[[], None],
    ) -> list[Candidate]:  # fmt: skip
        """Grow the pool and run two chains, one from scratch and one from the best code so far (or ``more``).

        They run side by side, in step, so that neither the number of cores nor their speed affects the result.
        """
        chains = [Hopper(searcher, self.refiner(workers=1), budget) for _ in range(2)]
        for _ in grow_pool(searcher, k, rounds=budget.rounds, count=budget.proposals, keep=budget.keep):
            tick()
            # easy clouds are solved by the first proposals
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
                    # the pool is shared by both chains, and neither reads it while it grows
                    limit = float(self.rng.choice([1.0, 0.75, 0.5, 0.5]))
                    which = i // (2 * STRIDE) % 2
                    searcher.complete(kept[which], budget.proposals // 5, budget.keep // 2, limit=limit)
                    list(pool.map(lambda h, m: h.complete(m, k), chains, kept))
                list(pool.map(lambda h: h.advance(STRIDE), chains))
                first = min((h.best for h in chains), key=lambda c: c.score.total)
                self.show(first.maps, first.weights)
                tick()
            return list(pool.map(lambda h: h.finish(), chains))

    def fixed(self, k: int, isotropy: float | None, start: float, end: float) -> Candidate:
        """Find a code of k maps; with ``isotropy`` None, of rounder maps if the cloud is not an attractor."""
        self.isotropy = isotropy or 0.0
        middle = start + (end - start) / 2
        best = self.solve(k, start, middle if isotropy is None else end)
        if isotropy is None and best.score.total > FRACTAL * self.floor.total and self.target.dim > 1:
            self.isotropy = 0.4
            rounder = self.solve(k, middle, end)
            if best.score.total < MISSED * rounder.score.total:
                self.isotropy = 0.0  # an attractor of flat maps, one of them not yet found
            else:
                best = rounder
        return best

    def passed(self, maps: int | str) -> tuple[Candidate, str] | None:
        """A code of maps that a network proposes, polished briefly; None for what it does not see.

        Codes of "auto" are compared on coarse grids: the fewest maps whose distance is about the least.
        """
        if self.density is None or self.target.dim != 2 or not (maps == "auto" or int(maps) in PASSED):
            return None
        proposed = proposed_maps(self.density)
        if maps != "auto":
            codes = quick_codes(self.density, proposed, int(maps), self.rng)[:_FINALISTS]
            return (self.quickly_polished(codes), "given") if codes else None
        tried: list[Measured] = []
        for i, k in enumerate(PASSED):
            self.say(f"{k} maps", 0.8 * i / len(PASSED))
            codes = quick_codes(self.density, proposed, k, self.rng, each=4)[:1]
            tried.extend(Measured(*self.density.refine(c.maps, c.weights, levels=(1,), steps=8)) for c in codes)
        if not tried:
            return None
        least = max(min(c.distance for c in tried), self.density.expected(1, self.density.orbits))
        code = next(c for c in tried if c.distance <= LIKE * least)
        return self.quickly_polished([code]), f"the fewest maps that come near on coarse grids: {len(code.maps)}"

    def quickly_polished(self, codes: list[Measured]) -> Candidate:
        """The best of some codes, refined on finer grids with a part of the points."""
        assert self.density is not None
        refine = self.density.refine
        fine = [Measured(*refine(c.maps, c.weights, levels=(1,), steps=8, orbits=4000)) for c in codes]
        best = min(fine, key=lambda c: c.distance)
        maps, weights, _ = refine(best.maps, best.weights, levels=(2,), steps=8, orbits=6000)
        refiner = Refiner(self.target, self.rng, cap=_LIMIT, points=_SAMPLE, density=self.density)

        def rated(maps: np.ndarray, weights: np.ndarray) -> Candidate:
            return self.graded(Candidate(maps, weights, refiner.score(refiner.match(maps, weights, seed=1))))

        c = rated(maps, weights)
        self.show(c.maps, c.weights)
        if not self.good(c) and c.density <= ASTRAY:
            c = min(c, rated(*refiner.refine(maps, weights, steps=10, tau=(4.0, 2.0), uneven=True)), key=self.misfit)
        self.show(c.maps, c.weights)
        return c

    def searched(self, maps: int | str, isotropy: float | None) -> tuple[Candidate, str]:
        """The best code of a search."""
        return self.auto(isotropy) if maps == "auto" else (self.fixed(int(maps), isotropy, 0.0, 1.0), "given")

    def auto(self, isotropy: float | None) -> tuple[Candidate, str]:
        """Try increasing numbers of maps; stop at the sampling floor or at the elbow."""
        self.isotropy = isotropy or 0.0
        self.brief = True
        tried: list[tuple[int, Candidate]] = []
        for i, k in enumerate(_AUTO):
            c = self.solve(k, 0.7 * i / len(_AUTO), 0.7 * (i + 1) / len(_AUTO), restarts=1)
            tried.append((k, c))
            if self.reached(c):
                k, c = self.fewer(k, c)
                return c, f"the fewest maps found that reach the sampling floor: {k}"
            if self.stalled([c for _, c in tried]):
                break
        self.brief = False
        least = min(self.misfit(c) for _, c in tried)
        if least <= FRACTAL:
            k = next(k for k, c in tried if self.misfit(c) <= SAME * least)
            return self.fixed(k, isotropy, 0.7, 1.0), f"the fewest maps that come nearest to the sampling floor: {k}"
        k = _elbow([(k, c.score.total) for k, c in tried])
        return self.fixed(k, isotropy, 0.7, 1.0), f"elbow at {k} maps; the cloud is not an attractor of few maps"

    def stalled(self, tried: list[Candidate]) -> bool:
        """Whether more maps gain nothing on an attractor, or less than a tenth on another cloud, twice in a row."""
        misfits = [self.misfit(c) for c in tried]
        if min(misfits) <= FRACTAL:
            return len(tried) - int(np.argmin(misfits)) > 2
        return len(tried) > 3 and tried[-1].score.total > 0.9 * tried[-3].score.total

    def fewer(self, k: int, best: Candidate) -> tuple[int, Candidate]:
        """Reduce the number of maps below k, one at a time, while the attractor still reaches the floor.

        A number that was missed is tried again: a code of one map more is the best start.
        """
        while k > 2:  # one map has a point as its attractor
            c = self.solve(k - 1, 0.7, 1.0, more=best)
            if not self.reached(c):
                break
            k, best = k - 1, c
        return k, best

    def reached(self, c: Candidate) -> bool:
        """Whether a code of "auto" is as near as an independent sample would be, its farthest points too."""
        dense = c.density <= DENSE or len(c.maps) > MEASURED
        near = (c.score.total <= ENOUGH * self.floor.total and dense) or self.good(c)
        return near and c.score.worst <= FARTHEST * self.floor.worst


class _Quick(_Fit):
    """A fit of a small budget, that tells attractors from other clouds."""

    def budget(self, k: int) -> Budget:
        return Budget(rounds=1, proposals=4000, keep=40, starts=3, hops=0, points=2000, polish=5)

    def restarts(self, k: int) -> int:
        return 1

    def rounds(self) -> int:
        return min(12, 3 + 2 * self.effort)

    def good(self, c: Candidate) -> bool:
        """Whether a code tells that the cloud is an attractor."""
        return c.score.total <= FRACTAL_QUICKLY * self.floor.total


def attractor_ratio(
    points: Tensor | np.ndarray, maps: int | str = "auto", *, effort: int = 5, seed: int = 0, keep_strays: bool = False
) -> tuple[float, int]:
    """How near a quick fit of a few maps comes to a cloud, over the sampling floor: about 1 for an attractor, or more.

    At most 2,000 points are looked at. "auto" tries 4 maps, 8, and 20 where 8 come near, and so does a number above 20:
    so many maps come near to any cloud. Below effort 5 fewer rounds of the search are made, so that an attractor of
    overlapping or of flat maps may not be told. Effort 0 tries no more than 8, and after 4 only if they come near.

    Returns:
        The ratio of the scores, and the number of maps that has it.

    Raises:
        DataError: too few distinct points, a wrong shape, or coordinates too large.
    """
    rng = np.random.default_rng(seed)
    target = make_target(np.asarray(points), limit=2000, rng=rng, keep_strays=keep_strays)
    fit = _Quick(target, effort, rng, lambda word, share: None)
    best = (np.inf, 0)
    numbers = FEW if effort else FEW[:2]
    for k in numbers if maps == "auto" or int(maps) > FEW[-1] else (int(maps),):
        best = min(best, (fit.solve(k, 0.0, 1.0).score.total / fit.floor.total, k))
        if best[0] <= FRACTAL_QUICKLY or (k == 8 and best[0] > FRACTAL) or (effort == 0 and best[0] > HOPELESS):
            break
    return best


def _elbow(tried: list[tuple[int, float]]) -> int:
    """Last number of maps that reduced the error of the one before it by at least a tenth."""
    k = tried[0][0]
    for (_, before), (n, after) in itertools.pairwise(tried):
        if after <= 0.9 * before:
            k = n
    return k


def _bare(target: Target, maps: np.ndarray, weights: np.ndarray) -> AffineIFS:
    """The code of maps and weights in the cloud's units, without colours."""
    d = target.dim
    a, t = target.subspace.lift(maps[:, :d, :d], maps[:, :d, 3])
    rows = [torch.from_numpy(np.ascontiguousarray(v)) for v in (a, t, weights / weights.sum())]
    return AffineIFS(rows[0], rows[1], rows[2])


def _code(
    target: Target, fit: _Fit, best: Candidate, rule: str, x: np.ndarray, rgb: np.ndarray | None, made: dict[str, Any]
) -> AffineIFS:
    """Convert the candidate to a code in the cloud's units, with weights and colours, heaviest maps first."""
    d = target.dim
    refiner = Refiner(target, np.random.default_rng(0), cap=_CAP, isotropy=0.0, points=20_000)
    sample = refiner.match(best.maps, best.weights, seed=1)
    weights = refiner.weigh(sample, len(best.maps)) if math.isnan(best.density) else best.weights
    order = np.argsort(-weights, kind="stable")
    maps, weights = best.maps[order], weights[order]
    a, t = target.subspace.lift(maps[:, :d, :d], maps[:, :d, 3])
    colours = field = None
    speed = 0.6
    if rgb is not None:
        rank, mine = np.argsort(order), target.kept[sample.subset]
        painted = paint(rank[sample.address[sample.source]], x[mine].astype(np.float64), rgb[mine], len(maps))
        colours, speed = torch.from_numpy(painted.colours), painted.speed
        field = None if painted.field is None else torch.from_numpy(painted.field)
    provenance = {
        "fit": "fractalkit.fit.fit_cloud", **made, "maps_rule": rule, "notes": list(target.notes),
        "input_points": len(x), "fitted_points": len(target),
        "input_sha256": hashlib.sha256(np.ascontiguousarray(x, dtype=np.float64).tobytes()).hexdigest(),
        "isotropy": fit.isotropy,
        "score": {"total": best.score.total, "floor": fit.floor.total, "ratio": best.score.total / fit.floor.total,
                  "density": best.density},
    }  # fmt: skip
    ifs = AffineIFS(
        torch.from_numpy(np.ascontiguousarray(a)), torch.from_numpy(np.ascontiguousarray(t)),
        torch.from_numpy(weights), colours, speed, provenance=provenance, colour_field=field,
    )  # fmt: skip
    return ifs.check_contractive()
