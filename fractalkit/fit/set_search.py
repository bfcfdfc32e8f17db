"""Search for a code whose attractor is a set of pixels: by what its pieces fill, then by its pixels.

The search of :mod:`.measure_search` is told an even density on the set first, and then what is filled (:mod:`.filled`).
What it finds is refined on coarse pixels (:mod:`.raster`), whose agreement says when to stop, and single maps are
exchanged (:mod:`.exchange`).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from fractalkit.errors import DataError
from fractalkit.fit.density import Density
from fractalkit.fit.exchange import exchanged
from fractalkit.fit.filled import CELLS, Filled
from fractalkit.fit.measure_search import Measured, MeasureSearch
from fractalkit.fit.raster import FINE, QUICK, Raster, RasterFit
from fractalkit.fit.search import Searcher
from fractalkit.fit.target import Subspace, make_target

MOST = 12  # maps
SIDE = 128  # of the coarse pixels, on the longer side
DONE = 0.93  # agreement of coarse pixels at which a search ends,
RIGHT = 0.97  # and at which no map of a code is exchanged
NUMBERS = (2, 3, 4, 5, 6, 8, 11)  # of maps that are tried
GAINED = 0.1  # share of the pixels that disagree: if two more tries at K do not mend it, there is no use in more
ROUNDS = 80  # of the search at effort 3
_PROPOSALS, _KEPT = 5000, 60  # random self-maps in each range of ratios at effort 3, and those that are registered
_CELLS = 1e5  # of the fine grid on which coarse pixels are drawn
_BETTER = 0.93  # of a polished code's excess, below which another one is polished
_CAP = 0.985
_PROMISING = 0.75  # agreement of coarse pixels from which on they are refined further
ROUND = 0.4  # least ratio of singular values of the maps of what is no attractor
_ATTRACTOR = 0.9  # agreement of coarse pixels of an attractor
_REPEATED = 3  # searches for a code that is not found
_RAGGED = 0.15  # share of coarse pixels at the outline
_PREFERRED = 0.03  # agreement that rounder maps may lack


class SetSearch:
    """Codes of lit pixels ``[H, W]`` (row 0 lowest; the longer side has length one)."""

    def __init__(
        self, lit: np.ndarray, *, effort: int, seed: int,
        progress: Callable[[str, float], None] = lambda word, share: None,
    ) -> None:  # fmt: skip
        self.rng = np.random.default_rng(seed)
        fine, self.cell = finest(lit, CELLS)
        points = (np.argwhere(fine)[:, ::-1] + 0.5) * self.cell
        self.target = make_target(points, limit=len(points), rng=self.rng, keep_strays=True)
        blocks, unit = coarser(lit, SIDE)
        self.raster = Raster(blocks, unit=unit, cells=_CELLS, seed=seed)
        self.effort, self.progress = effort, progress
        self.densities: dict[tuple[float, bool], Density] = {}
        self.known: dict[float, np.ndarray] = {}  # self-maps
        self.earlier: dict[tuple[int, float], tuple[np.ndarray, list[Measured]]] = {}  # maps and codes of a search

    @property
    def planar(self) -> bool:
        """Whether the lit pixels are not all on a line, without which there are no grids over them."""
        return self.target.dim == 2

    @property
    def ragged(self) -> bool:
        """Whether many of the coarse pixels are at the set's outline."""
        lit = self.raster.lit
        return bool(ndimage.binary_erosion(lit).sum() < (1 - _RAGGED) * lit.sum())

    def density(self, isotropy: float, *, filled: bool) -> Density:
        """The grids on which codes are compared with the set: by what they fill, or by an even density on it."""
        if (isotropy, filled) not in self.densities:
            seed = int(self.rng.integers(1 << 31))
            cell = self.cell / self.target.subspace.scale
            self.densities[isotropy, filled] = (
                Filled(self.target, cell, cap=_CAP, isotropy=isotropy, seed=seed)
                if filled
                else Density(self.target, cap=_CAP, isotropy=isotropy, seed=seed)
            )
        return self.densities[isotropy, filled]

    def solve(
        self, k: int, *, share: float = 1.0, isotropy: float = 0.0, begin: float = 0.0, end: float = 1.0
    ) -> RasterFit:
        """The code of k maps whose coarse pixels agree best, after a share of the rounds or once they do.

        Where pieces hardly overlap, the set's even density is a code's measure, and is searched for faster. So that
        comes first, and its maps join the archive of the search by what is filled, as do those of an earlier one.
        With all the rounds, single maps are exchanged at the end.
        """
        rounds = max(3, round(share * ROUNDS / 2 * 2.0 ** (self.effort - 3)))
        middle = (begin + end) / 2
        search = MeasureSearch(self.density(isotropy, filled=False), k, self.rng)
        best = self._run(search, rounds, lambda part: self.progress(f"{k} maps", begin + (middle - begin) * part))
        if best.iou >= DONE:
            return self.exchanged(best, search) if share == 1 else best
        other = MeasureSearch(self.density(isotropy, filled=True), k, self.rng)
        other.archive.add(self.self_maps(isotropy))
        codes = [*search.front, Measured(from_picture(best.maps, self.target.subspace), np.ones(k), 0.0)]
        if (k, isotropy) in self.earlier:
            maps, front = self.earlier[k, isotropy]
            other.archive.add(maps)
            codes += front
        other.archive.add(search.archive.maps)
        for code in codes:
            other.join(other.refined(code.maps, code.weights))
        filled = self._run(other, rounds, lambda part: self.progress(f"{k} maps", middle + (end - middle) * part))
        best = max(best, filled, key=lambda fitted: fitted.iou)
        if share == 1:
            best = self.exchanged(best, other)
        other.join(other.refined(from_picture(best.maps, self.target.subspace), np.ones(k)))
        self.earlier[k, isotropy] = other.archive.maps, other.front
        return best

    def exchanged(self, fitted: RasterFit, search: MeasureSearch) -> RasterFit:
        """A code some of whose maps are exchanged for those that a search found, or for its own ones turned."""
        if not _PROMISING < fitted.iou < RIGHT:
            return fitted
        space = self.target.subspace
        turns = np.zeros((len(search.turns), 3, 4))
        turns[:, :2, :2] = np.linalg.inv(search.white) @ search.turns @ search.white
        turns[:, :2, 3] = search.mean - turns[:, :2, :2] @ search.mean
        points = space.scale * self.target.lookup.points[:, :2] + space.centre
        proposals = to_picture(search.archive.maps, space)
        return exchanged(self.raster, fitted, proposals, to_picture(turns, space), points, enough=RIGHT)

    def self_maps(self, isotropy: float) -> np.ndarray:
        """Maps ``[H, 3, 4]`` of the set into itself, found by registration, which any piece's map is one of."""
        if isotropy not in self.known:
            searcher = Searcher(self.target, self.rng, cap=_CAP, isotropy=isotropy)
            with contextlib.suppress(DataError):  # a set of which no part resembles the whole
                searcher.explore(searcher.evens, int(_PROPOSALS * 2.0 ** (self.effort - 3)), _KEPT)
            self.known[isotropy] = searcher.pool.maps
        return self.known[isotropy]

    def _run(self, search: MeasureSearch, rounds: int, tell: Callable[[float], None]) -> RasterFit:
        """The best code of a search, whose codes are polished when they are found."""
        best: RasterFit | None = None
        enough, left = 0.0, rounds
        while left > 0:
            done = rounds - left
            found, used = search.run(left, enough=enough, tell=lambda n: tell((done + n) / rounds))  # noqa: B023
            left -= used
            if best is not None and search.excess(found) > enough:
                break
            fitted = self.polished(found, search.density)
            best = fitted if best is None or fitted.iou > best.iou else best
            if best.iou >= DONE:
                break
            search.join(search.refined(from_picture(fitted.maps, self.target.subspace), found.weights))
            enough = _BETTER * search.excess(search.front[0])
        assert best is not None
        return best

    def polished(self, code: Measured, density: Density) -> RasterFit:
        """A code refined on grids, and then by its pixels."""
        maps, _, _ = density.refine(code.maps, code.weights, levels=(1, 2), steps=15)
        found = self.raster.refine(to_picture(maps, self.target.subspace), stages=QUICK, isotropy=density.isotropy)
        if _PROMISING < found.iou < DONE:
            found = self.raster.refine(found.maps, stages=FINE, isotropy=density.isotropy)
        return found

    def fixed(self, k: int, begin: float = 0.0) -> RasterFit:
        """The best code of k maps.

        Where it does not come near, a set with long outlines, which may be an attractor, is searched again, from what
        was found. A smooth one is none: it gets rounder maps if they are almost as good, which draw it in copies of
        itself.
        """
        middle = begin + (1 - begin) / 2
        best = self.solve(k, begin=begin, end=middle)
        if best.iou >= _ATTRACTOR:
            return best
        if self.ragged:
            step = (1 - middle) / (_REPEATED - 1)
            for i in range(_REPEATED - 1):
                again = self.solve(k, begin=middle + i * step, end=middle + (i + 1) * step)
                best = max(best, again, key=lambda fitted: fitted.iou)
                if best.iou >= _ATTRACTOR:
                    break
            return best
        rounder = self.solve(k, share=0.5, isotropy=ROUND, begin=middle)
        return rounder if rounder.iou > best.iou - _PREFERRED else best

    def auto(self) -> tuple[RasterFit, str]:
        """The fewest maps whose pixels agree, or the last number of maps that was worth its maps."""
        tried: list[tuple[int, RasterFit]] = []
        step = 0.6 / len(NUMBERS)
        for i, k in enumerate(NUMBERS):
            found = self.solve(k, share=0.25, begin=i * step, end=(i + 1) * step)
            tried.append((k, found))
            if found.iou >= DONE:
                return self.fewer(k, found)
            if i >= 2 and 1 - found.iou > (1 - GAINED) * (1 - max(f.iou for _, f in tried[:-2])):
                break
        k = tried[0][0]
        for (_, before), (n, after) in itertools.pairwise(tried):
            if 1 - after.iou < (1 - GAINED) * (1 - before.iou):
                k = n
        return self.fixed(k, 0.6), f"elbow at {k} maps"

    def fewer(self, k: int, best: RasterFit) -> tuple[RasterFit, str]:
        """A code of fewer maps than k, one by one, as long as its pixels agree."""
        while k > 2:
            found = self.solve(k - 1, share=0.25, begin=0.6)
            if found.iou < DONE:
                break
            k, best = k - 1, found
        return best, f"the fewest maps found whose pixels agree: {k}"


def coarser(lit: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Blocks of lit pixels ``[H, W]``, at most so many a side, each lit if one of its pixels is; and their length."""
    return _blocks(lit, -(-max(lit.shape) // side))


def finest(lit: np.ndarray, most: int) -> tuple[np.ndarray, float]:
    """The finest blocks, of which at most so many are lit, and their length."""
    factor = 1
    while (found := _blocks(lit, factor))[0].sum() > most:
        factor += 1
    return found


def _blocks(lit: np.ndarray, factor: int) -> tuple[np.ndarray, float]:
    h, w = (-(-n // factor) * factor for n in lit.shape)
    padded = np.zeros((h, w), bool)
    padded[: lit.shape[0], : lit.shape[1]] = lit
    blocks = np.asarray(padded.reshape(h // factor, factor, w // factor, factor).any(axis=(1, 3)))
    return blocks, factor / max(lit.shape)


def to_picture(maps: np.ndarray, space: Subspace) -> np.ndarray:
    """Maps ``[K, 3, 4]`` of the target's coordinates in those of the picture."""
    return _moved(maps, space.scale, space.centre)


def from_picture(maps: np.ndarray, space: Subspace) -> np.ndarray:
    """Maps ``[K, 3, 4]`` of the picture's coordinates in those of the target."""
    return _moved(maps, 1 / space.scale, -space.centre / space.scale)


def _moved(maps: np.ndarray, scale: float, centre: np.ndarray) -> np.ndarray:
    """Maps of coordinates that are scaled and then shifted by ``centre``."""
    out = maps.copy()
    out[:, :2, 3] = scale * maps[:, :2, 3] + centre - maps[:, :2, :2] @ centre
    return out
