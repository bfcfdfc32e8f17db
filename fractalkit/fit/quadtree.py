"""The encoder of quadtree codes.

For each tile: cosines of all blocks of all sizes; for blocks with enough energy the domain that explains most
(:mod:`.quadtree_search`); the tree of least rate-distortion cost, bottom up (:mod:`.quadtree_rd`); then bytes. Rates
are learned from pass to pass. From the second pass on, domains are taken from the decoded picture, so that the fixed
point is close to what the encoder expects. The quantiser step trades size for quality; a target is met by a search for
the step.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from fractalkit.codec.quadtree_file import CodedPlanes
from fractalkit.codec.quadtree_segments import write_planes
from fractalkit.codes.quadtree import (
    GRID_CONTRAST,
    QuadtreeCode,
    QuadtreePlane,
    Settings,
    Tile,
    plane_steps,
    step_index,
    tiles,
)
from fractalkit.core import fixed_point
from fractalkit.errors import UsageError
from fractalkit.fit import quadtree_copies as copies
from fractalkit.fit import quadtree_directions as directions
from fractalkit.fit import quadtree_eye as eye
from fractalkit.fit import quadtree_rate as rate
from fractalkit.fit import quadtree_rd as rd
from fractalkit.fit.pifs import fit_plane, side_of
from fractalkit.fit.quadtree_search import features, isometric, search
from fractalkit.maps import quadtree as maps
from fractalkit.maps.quadtree_copies import ranks
from fractalkit.maps.quadtree_filter import refine
from fractalkit.maps.quadtree_picture import smooth
from fractalkit.maps.quadtree_plane import plane_map
from fractalkit.maps.quadtree_proof import certificate, expanding
from fractalkit.raster.colour import doubled, to_planes, to_rgb
from fractalkit.raster.cosines import block_cosines
from fractalkit.raster.samples import checked_samples, sum_of_squares

LAMBDA = 0.085  # of the squared step
SHRINK = (0.05, 0.03, 0.02)
# by bit depth: samples and cosines are rounded to integers in these units, so that all sums are exact in float64
FRACTION = {8: 16, 16: 2}
COSINE = {8: 1 << 16, 16: 1 << 14}
METADATA = {"icc", "exif", "xmp", "dpi"}
HALF_LOSS = 0.35  # share of the error that is due to halved chroma, from which on full chroma is tried
TOGETHER = 1024  # blocks that are transformed together
ROWS = 8  # rows of domains that are transformed together
# squared errors of R, G and B, and of alpha, by those of Y, Cb, Cr and alpha: the columns' squares of the conversion
COLOUR_ERROR = (3.0, 3.258, 2.476, 1.0)
ENOUGH = 0.0144  # octaves of size, or 6 dB, by which a target may be missed
NEAR = 24  # steps of the quantiser's index, 128 an octave, between which what was learned of rates holds
MOST_KEPT = 4  # tiles whose encoders are kept from run to run
MAX_MAP = 16  # side of the largest leaf that may have a map
Finish = Callable[[], tuple[QuadtreeCode, float]]


@dataclass(frozen=True)
class Effort:
    """Settings of one effort level.

    Attributes:
        passes: passes that learn rates, before the last one.
        top, bottom: log2 of the sides of the largest and the smallest leaf.
        maps: log2 of the sides of leaves for which domains are searched.
        grid: log2 of the distance between domains, in samples.
        count: number of cosines that are compared.
        isometries: number of isometries to try, 1 to 8.
        reach: last diagonal of cosines that is coded: 128 for all, 1 for the slopes, 0 for the mean only.
        eye: weigh errors by how visible they are; see :mod:`.quadtree_eye`.
        directions: leaves continue what is at their borders, and have no other maps; of so many directions one is tried
            at first; 0 for none. See :mod:`.quadtree_directions`.
    """

    passes: int = 1
    top: int = 5
    bottom: int = 2
    maps: tuple[int, ...] = (3, 4)
    grid: int = 2
    count: int = 18
    isometries: int = 8
    reach: int = 128
    eye: bool = False
    directions: int = 0


EFFORTS = (
    Effort(1, maps=(), bottom=3),
    Effort(1, maps=()),
    Effort(1, directions=4, maps=(3,)),
    Effort(1, directions=2, maps=(3,)),
    Effort(1, directions=4, maps=(3,), top=6),
    Effort(1, directions=2, maps=(3,), top=6),
    Effort(2, directions=2, maps=(3,), top=6),
    Effort(2, directions=1, maps=(3,), top=6),
    Effort(3, directions=1, maps=(3,), top=6),
    Effort(4, directions=1, maps=(3,), top=6),
)


@dataclass
class _Plane:
    """One plane of a tile: padded samples, cosines by log2 of the side, candidate domains, and the latest code."""

    samples: np.ndarray  # [height, width] float64
    height: int
    width: int
    chroma: bool
    cosines: dict[int, np.ndarray]
    weights: dict[int, np.ndarray]  # of squared errors, by log2 of the side
    candidates: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict)
    energy: dict[int, np.ndarray] = field(default_factory=dict)  # of blocks that may have a direction
    code: QuadtreePlane | None = None


def basis(log: int, depth: int) -> np.ndarray:
    """The cosines of a block, one per row, rounded to integers: ``[side, side]``."""
    return np.asarray(np.rint(block_cosines(1 << log).T * COSINE[depth]))


def transform(samples: np.ndarray, log: int, depth: int) -> np.ndarray:
    """Cosines of all blocks of one side, each in its place: ``[H, W]`` float32, computed in exact integers."""
    side = 1 << log
    h, w = samples.shape
    a, fraction = basis(log, depth), FRACTION[depth]
    t = np.rint(samples * fraction).reshape(h, w // side, side) @ a.T
    t = np.matmul(a, t.reshape(h // side, side, w))
    return np.asarray((t.reshape(h, w) * (1 / (float(COSINE[depth]) ** 2 * fraction))).astype(np.float32))


def both_sides(a: np.ndarray, blocks: np.ndarray, unit: float) -> np.ndarray:
    """``unit`` a b a^T for each block b, ``[n, side, side]`` float32: two large products instead of many small ones."""
    n, side, _ = blocks.shape
    out = np.empty((n, side, side), np.float32)
    for k in range(0, n, TOGETHER):
        b = blocks[k : k + TOGETHER].reshape(-1, side) @ a.T
        b = np.ascontiguousarray(b.reshape(-1, side, side).transpose(0, 2, 1)).reshape(-1, side) @ a.T
        out[k : k + TOGETHER] = (b * unit).reshape(-1, side, side).transpose(0, 2, 1)
    return out


def _rest(blocks: np.ndarray) -> np.ndarray:
    """Norms of the cosines ``[n, side, side]`` of blocks, without mean and slopes: ``[n]`` float64."""
    out = np.empty(len(blocks))
    for k in range(0, len(blocks), TOGETHER):
        flat = blocks[k : k + TOGETHER].reshape(-1, blocks[0].size).astype(np.float64)
        rest = (flat**2).sum(1) - flat[:, 0] ** 2 - flat[:, 1] ** 2 - flat[:, blocks.shape[1]] ** 2
        out[k : k + TOGETHER] = np.sqrt(np.maximum(rest, 0))
    return out


def _energies(cosines: np.ndarray, log: int) -> np.ndarray:
    """Energy of the cosines of all blocks of one side, without the mean: ``[H / side, W / side]`` float64."""
    side = 1 << log
    h, w = cosines.shape
    c = cosines.reshape(h // side, side, w // side, side)
    total = np.einsum("iajb,iajb->ij", c, c, dtype=np.float64, optimize=False)
    return np.asarray(total - c[:, 0, :, 0].astype(np.float64) ** 2)


def _pad(v: np.ndarray, top: int) -> np.ndarray:
    big = 1 << max(5, top)
    return np.pad(v, ((0, -v.shape[0] % big), (0, -v.shape[1] % big)), mode="edge")


class _TileEncoder:
    """The encoder of one tile; keeps what does not depend on the quantiser step, and the rates learned so far."""

    def __init__(
        self, picture: np.ndarray, depth: int, half: bool, effort: Effort, settings: Settings, device: str
    ) -> None:
        self.depth, self.half, self.effort, self.device = depth, half, effort, device
        self.settings = settings
        self.closed: Any = None  # planes with other values of shrink, and which
        self.rates: dict[bool, rd.Rates] = {}
        self.counts: dict[bool, rd.Counts] = {}  # of the last pass
        self.last: tuple[int, int, list[QuadtreePlane]] | None = None  # step index, passes and planes of the last run
        self.planes = []
        for i, v in enumerate(to_planes(picture, depth, half)):
            padded = _pad(v, effort.top)
            cosines = {log: transform(padded, log, depth) for log in range(effort.bottom, effort.top + 1)}
            if effort.eye and i == 0:
                weights = eye.weights(padded, depth, effort.bottom, effort.top)
            else:
                weights = {log: np.ones((padded.shape[0] >> log, padded.shape[1] >> log)) for log in cosines}
            self.planes.append(_Plane(padded, v.shape[0], v.shape[1], i in (1, 2), cosines, weights))
            if settings.directed and settings.maps[i in (1, 2)]:
                self.planes[-1].energy = {k: _energies(c, k) for k, c in cosines.items() if k <= directions.MOST}

    # ---- domains

    def look(self, step: float) -> None:
        """Find the best domain of each block whose energy exceeds the cost of a map, or the best block to copy."""
        if self.settings.copies:
            for p in self.planes:
                found = copies.vectors(p.samples)
                for log in range(max(3, self.effort.bottom), self.effort.top + 1):
                    one = copies.candidates(p.samples, p.height, p.width, log, found, 12 * LAMBDA * step * step)
                    if one is not None:
                        p.candidates[log] = one
            return
        p = self.planes[0]
        h, w = p.samples.shape
        for log in self.effort.maps:
            side = 1 << log
            if side > MAX_MAP or 2 * side > min(h, w) or log < self.effort.bottom:
                continue
            c = p.cosines[log].reshape(h // side, side, w // side, side).transpose(0, 2, 1, 3)
            energy = (c.astype(np.float64) ** 2).sum((2, 3)) - c[..., 0, 0] ** 2 - c[..., 0, 1] ** 2 - c[..., 1, 0] ** 2
            rows, columns = np.nonzero(energy > 24 * LAMBDA * step * step)
            if not len(rows):
                continue
            order = features(log, self.effort.count)
            grid = 1 << self.effort.grid
            ys, xs = np.arange(0, h - 2 * side + 1, grid), np.arange(0, w - 2 * side + 1, grid)
            d = self._domains(p.samples, ys, xs, log)
            norms = _rest(d)
            usable = np.nonzero(norms > 0.5 * step)[0]
            if not len(usable):
                continue
            own = c[rows, columns][:, order[:, 0], order[:, 1]]
            dom = d[usable][:, order[:, 0], order[:, 1]]
            where, iso = search(own, dom, norms[usable], order, self.effort.isometries, self.device)
            at = usable[where]
            yd, xd = ys[at // len(xs)], xs[at % len(xs)]
            p.candidates[log] = (rows, columns, yd, xd, iso)

    def _domains(self, samples: np.ndarray, ys: np.ndarray, xs: np.ndarray, log: int) -> np.ndarray:
        """Cosines of all domains, ``[len(ys) len(xs), side, side]`` float32."""
        side = 1 << log
        f = FRACTION[self.depth]
        whole = np.rint(samples * f)
        four = whole[:-1, :-1] + whole[1:, :-1] + whole[:-1, 1:] + whole[1:, 1:]
        a = basis(log, self.depth)
        every = 2 * np.arange(side)
        out = np.empty((len(ys), len(xs), side, side), np.float32)
        for k in range(0, len(ys), ROWS):  # few rows at a time, as all blocks in float64 take much memory
            strips = four[ys[k : k + ROWS, None] + every]  # [rows, side, W]
            blocks = strips[:, :, xs[:, None] + every].transpose(0, 2, 1, 3).reshape(-1, side, side)
            made = both_sides(a, blocks, 1 / (float(COSINE[self.depth]) ** 2 * 4 * f))
            out[k : k + ROWS] = made.reshape(-1, *out.shape[1:])
        return out.reshape(-1, side, side)

    def _copied(self, picture: np.ndarray, log: int, yd: np.ndarray, xd: np.ndarray, iso: np.ndarray) -> np.ndarray:
        """Cosines of domains after their isometries, without mean and slopes: ``[n, side, side]``."""
        side = 1 << log
        f = FRACTION[self.depth]
        whole = np.rint(picture.astype(np.float64) * f)
        i, j = np.indices((side, side))
        a = basis(log, self.depth)
        parts = []
        for k in range(0, max(1, len(yd)), TOGETHER):
            row, column = (v[k : k + TOGETHER, None, None] for v in (yd, xd))
            if self.settings.copies:
                blocks = 4 * whole[row + i, column + j]
            else:
                y, x = row + 2 * i, column + 2 * j
                blocks = whole[y, x] + whole[y + 1, x] + whole[y, x + 1] + whole[y + 1, x + 1]
            made = both_sides(a, blocks, 1 / (float(COSINE[self.depth]) ** 2 * 4 * f))
            parts.append(isometric(made, iso[k : k + TOGETHER]))
        c = np.concatenate(parts)
        c[:, 0, 0] = c[:, 0, 1] = c[:, 1, 0] = 0
        return c

    # ---- passes

    def passed(self, settings: Settings, passes: int) -> list[QuadtreePlane]:
        """The planes after so many passes; those of the last run count if its step was near, but one pass is new."""
        if self.effort.maps and not settings.plain and not settings.directed and not self.planes[0].candidates:
            self.look(settings.size)
        looks = bool(self.effort.maps or settings.directed)
        done, seen = 0, None
        if settings.directed and passes > 1 and self.last and abs(self.last[0] - settings.step) <= NEAR:
            done, seen = min(self.last[1], passes - 1), self.decoded(self.last[2])
        else:  # rates learned at a step far away mislead
            self._forget(settings)
        planes = self.encode(settings, seen)
        for _ in range(done + 1, passes):
            planes = self.encode(settings, self.decoded(planes) if looks else None)
        self.last = settings.step, passes, planes
        return planes

    def _forget(self, settings: Settings) -> None:
        """Go back to rates that were learned from other pictures."""
        unit = ((1 << self.depth) - 1) / 255
        self.rates = {chroma: rd.Rates.start(settings.size / unit, chroma) for chroma in (False, True)}

    # ---- one pass

    def encode(self, settings: Settings, seen: list[np.ndarray] | None) -> list[QuadtreePlane]:
        """The best planes at the step of ``settings``; domains are taken from ``seen``, the planes decoded last."""
        steps = plane_steps(settings, 1 if len(self.planes) == 1 else len(self.planes))
        counts = {False: rd.Counts.empty(), True: rd.Counts.empty()}
        self.closed = None
        out = []
        for i, p in enumerate(self.planes):
            code = self._proved(p, steps[i], settings, seen[i] if seen else None)
            c = counts[p.chroma]
            rd.count(
                code.logs, code.level, code.maps, p.height, p.width, self.effort.top, self.effort.bottom, c.level,
                c.last, c.mean, c.split, c.fractal, c.address,
            )  # fmt: skip
            p.code = code
            out.append(code)
        for chroma in {p.chroma for p in self.planes}:
            learned = rd.Rates.learn(counts[chroma])
            if settings.directed and seen is None:  # there was nothing to learn of directions
                learned.fractal = self.rates[chroma].fractal
            self.rates[chroma] = learned
        self.counts = counts
        return out

    def _proved(self, p: _Plane, step: float, settings: Settings, seen: np.ndarray | None) -> QuadtreePlane:
        """A plane whose map provably contracts; leaves that prevent the proof lose their candidates."""
        if settings.directed:
            return self._directed(p, step, settings, seen)
        if settings.copies:
            code = self._plane(p, step, settings, seen)
            lam = LAMBDA * step * step
            return copies.closed(code, p.cosines, p.weights, lam, self.rates[p.chroma], self.effort.reach)
        for _ in range(4):
            code = self._plane(p, step, settings, seen)
            leaves, contrast = maps.mapped_leaves(code)
            v, l = certificate(code, leaves, contrast, enough=1.0)
            if l < 1:
                return code
            if settings.plain:
                break
            for k in expanding(code, leaves, contrast, v):
                y, x, log = leaves[k, :3]
                rows, columns, *rest = p.candidates[int(log)]
                keep = (rows != y >> log) | (columns != x >> log)
                p.candidates[int(log)] = (rows[keep], columns[keep], *(r[keep] for r in rest))
        return contracting(code)

    def _directed(self, p: _Plane, step: float, settings: Settings, seen: np.ndarray | None) -> QuadtreePlane:
        """A plane with directions, looked for in each pass but the first, at borders as decoded in the one before."""
        p.candidates.clear()
        lam = LAMBDA * step * step
        if settings.maps[p.chroma] and seen is not None:
            order = ranks(p.height, p.width, p.samples.shape)
            for log, energy in p.energy.items():
                p.candidates[log] = directions.candidates(
                    p.samples, seen, order, energy, log, lam, self.effort.directions
                )
        code = self._plane(p, step, settings, seen)
        return self._closed(p, code) if code.maps.size else code

    def _closed(self, p: _Plane, code: QuadtreePlane) -> QuadtreePlane:
        """A plane with directions whose levels are chosen anew, in order of decoding."""
        lam = LAMBDA * code.step * code.step
        rates, reach = self.rates[p.chroma], self.effort.reach
        return directions.closed(code, p.samples, p.cosines, p.weights, lam, rates, reach)

    def _plain(self, p: _Plane, step: float, settings: Settings) -> QuadtreePlane:
        log, grid = settings.top, 1 << settings.grid
        h, w = p.samples.shape
        ys, xs = np.arange(0, h - (2 << log) + 1, grid), np.arange(0, w - (2 << log) + 1, grid)
        domains = self._domains(p.samples, ys, xs, log).reshape(len(ys), len(xs), 1 << log, 1 << log)
        return fit_plane(p.cosines[log], domains, grid, log, step, p.height, p.width, self.device)

    def _plane(self, p: _Plane, step: float, settings: Settings, seen: np.ndarray | None) -> QuadtreePlane:
        if settings.plain:
            return self._plain(p, step, settings)
        e = self.effort
        h, w = p.samples.shape
        rates = self.rates[p.chroma]
        lam = LAMBDA * step * step
        shrink = np.array(settings.shrink[3 * p.chroma : 3 * p.chroma + 3]) / 256
        logs_range = range(e.bottom, e.top + 1)
        costs, levels = [], {}
        maps_of: dict[int, np.ndarray] = {}
        for log in logs_range:
            level = np.zeros((h, w), np.int32)
            cost = np.zeros((h >> log, w >> log))
            rd.blocks(
                p.cosines[log], log, p.height, p.width, step, lam, p.weights[log], rates.level, rates.last, rates.mean,
                shrink, e.reach, level, cost,
            )  # fmt: skip
            if settings.maps[p.chroma]:
                cost += lam * rates.fractal[log - 2, 0]
                maps_of[log] = np.zeros((h >> log, w >> log, 4), np.int32)
            if log in p.candidates and settings.directed:
                self._try_directions(p, log, lam, shrink, step, level, cost, maps_of[log])
            elif log in p.candidates:
                rows, columns, yd, xd, iso = p.candidates[log]
                d = self._copied(p.samples if seen is None else seen, log, yd, xd, iso)
                g, side = 1 << settings.grid, 1 << log
                address = np.stack([iso, yd // g - rows * side // g, xd // g - columns * side // g], 1)
                contrasts = GRID_CONTRAST * np.arange(1, maps.CONTRASTS + 1)
                r_map, r_address = rates.map, rates.address
                if settings.copies:
                    address = np.stack([iso, yd - rows * side, xd - columns * side], 1)
                    contrasts, r_map, r_address = np.ones(1), np.full_like(r_map, 1.0), np.full_like(r_address, 1.5)
                rd.mapped(
                    rows, columns, d, log, address, p.cosines[log], step, lam, p.weights[log], rates.level,
                    rates.last, rates.mean, rates.fractal, r_map, r_address, shrink, e.reach, contrasts, level,
                    cost, maps_of[log],
                )  # fmt: skip
            costs.append(cost)
            levels[log] = level
        logs = rd.tree(costs, lam, rates.split, e.bottom, e.top)
        cy, cx = np.indices(logs.shape)
        low = logs.astype(np.int64) - 2
        logs[((cy >> low << low) * 4 >= p.height) | ((cx >> low << low) * 4 >= p.width)] = 0
        level = np.zeros((h, w), np.int32)
        chosen = np.zeros((h >> 2, w >> 2, 4) if settings.maps[p.chroma] else (0, 0, 4), np.int32)
        big = logs.repeat(4, 0).repeat(4, 1)
        for log in logs_range:
            np.copyto(level, levels[log], where=big == log)
            if chosen.size:
                cells = 1 << (log - 2)
                here = logs[::cells, ::cells] == log
                chosen[::cells, ::cells][here] = maps_of[log][here]
        s = settings.shrink[3 * p.chroma : 3 * p.chroma + 3]
        return QuadtreePlane(
            logs,
            level,
            chosen,
            p.height,
            p.width,
            step,
            (s[0] / 256, s[1] / 256, s[2] / 256),
            1 << settings.grid,
            copies=settings.copies,
            directed=settings.directed and settings.maps[p.chroma],
            slopes=not (settings.directed and settings.maps[p.chroma]),
        )

    def _try_directions(
        self, p: _Plane, log: int, lam: float, shrink: np.ndarray, step: float, level: np.ndarray, cost: np.ndarray,
        chosen: np.ndarray,
    ) -> None:  # fmt: skip
        """Take the candidates of one side where they cost less; changes the last three arrays."""
        rows, columns, direction, made = p.candidates[log]
        f = FRACTION[self.depth]
        d = both_sides(basis(log, self.depth), np.rint(made * f), 1 / (float(COSINE[self.depth]) ** 2 * f))
        d[:, 0, 0] = 0
        rates, free = self.rates[p.chroma], np.zeros((rd.SIZES, 17))
        rd.mapped(
            rows, columns, d, log, np.stack([direction, 0 * direction, 0 * direction], 1), p.cosines[log], step, lam,
            p.weights[log], rates.level, rates.last, rates.mean, rates.fractal, np.full(rd.SIZES, directions.BITS),
            free, shrink, self.effort.reach, np.ones(1), level, cost, chosen,
        )  # fmt: skip
        chosen[..., 0] = np.where(chosen[..., 0] > 0, chosen[..., 1] + 1, 0)
        chosen[..., 1] = 0

    # ---- what came out

    def centroids(self, planes: list[QuadtreePlane]) -> list[tuple[float, float]]:
        """Sum of level minus magnitude in steps, and number of cosines, of levels 1, 2 and more, luma then chroma."""
        out = []
        for chroma in (False, True):
            total, n = np.zeros(3), np.zeros(3)
            for p, code in zip(self.planes, planes, strict=True):
                if p.chroma != chroma:
                    continue
                for log, c in p.cosines.items():
                    rows, columns = np.nonzero(code.logs[:: 1 << (log - 2), :: 1 << (log - 2)] == log)
                    if not len(rows):
                        continue
                    side = 1 << log
                    shape = (c.shape[0] // side, side, c.shape[1] // side, side)
                    q = np.abs(code.level.reshape(shape)[rows, :, columns])
                    x = np.abs(c.reshape(shape)[rows, :, columns]) / np.float32(code.step)
                    if code.maps.size:
                        plain = code.maps[:: side >> 2, :: side >> 2, 0][rows, columns] == 0
                        q, x = q[plain], x[plain]
                    q[:, 0, 0] = 0
                    for k in range(3):
                        m = q == k + 1 if k < 2 else q >= 3
                        total[k] += float((q[m] - x[m]).sum(dtype=np.float64))
                        n[k] += int(m.sum())
            out += [(float(a), float(b)) for a, b in zip(total, n, strict=True)]
        return out

    def shrunk(self, planes: list[QuadtreePlane], shrink: tuple[int, ...]) -> list[QuadtreePlane]:
        """The planes with other values of ``shrink``, in 1/256 of a step, luma then chroma."""
        parts = [tuple(v / 256 for v in shrink[3 * p.chroma : 3 * p.chroma + 3]) for p in self.planes]
        out = [replace(p, shrink=part) for p, part in zip(planes, parts, strict=True)]  # type: ignore[arg-type]
        if not any(code.directed for code in out):
            return out
        if self.closed is None or self.closed[0] != (id(planes), shrink):
            made = [self._closed(p, code) if code.directed else code for p, code in zip(self.planes, out, strict=True)]
            self.closed = (id(planes), shrink), made
        return self.closed[1]

    def decoded(self, planes: list[QuadtreePlane]) -> list[np.ndarray]:
        """Fixed points of all planes, padded."""
        return [
            fixed_point(plane_map(p))[0].numpy() if p.copies or p.directed else maps.solve_plane(p, 0.1) for p in planes
        ]

    def squares(
        self, picture: np.ndarray, planes: list[QuadtreePlane], deblock: int, filtered: tuple[bool, bool]
    ) -> float:
        """Sum of squared errors of the picture's samples."""
        shown = []
        for i, (p, x) in enumerate(zip(planes, self.decoded(planes), strict=True)):
            x = _smoothed(p, x, deblock)
            if filtered[i in (1, 2)]:
                refine(x, p.step, i in (1, 2))
            shown.append(doubled(x, *picture.shape[:2]) if i in (1, 2) and self.half else x)
        d = to_rgb(shown, self.depth).astype(np.float64) - picture
        return float((d * d).sum())

    def error(self, index: int, x: np.ndarray) -> float:
        """About what a plane ``[H, W]``, shown as ``x``, adds to the sum of squared errors of the picture's samples."""
        p = self.planes[index]
        d = x - p.samples[: p.height, : p.width]
        weight = 1.0 if len(self.planes) == 1 else COLOUR_ERROR[index] * (4 if p.chroma and self.half else 1)
        return weight * float(np.vdot(d, d))


def _smoothed(plane: QuadtreePlane, seen: np.ndarray, deblock: int) -> np.ndarray:
    """A copy of the samples of a plane that count, deblocked."""
    x = seen.copy()
    if deblock:
        smooth(x, plane, 1, deblock, (0, 0, plane.height, plane.width))
    return x[: plane.height, : plane.width]


def contracting(plane: QuadtreePlane) -> QuadtreePlane:
    """The plane with contrasts lowered until the map provably contracts, which is rarely necessary."""
    while True:
        leaves, contrast = maps.mapped_leaves(plane)
        if certificate(plane, leaves, contrast, enough=1.0)[1] < 1:
            return plane
        code = plane.maps[..., 0]
        lower = np.where((code - 1) % maps.CONTRASTS > 0, code - 1, np.where(code == 1, 0, code))
        lower = np.where(code == maps.CONTRASTS + 1, 0, lower)
        chosen = plane.maps.copy()
        chosen[..., 0] = lower
        plane = replace(plane, maps=chosen)


def step_of_quality(quality: float, depth: int) -> float:
    """The quantiser step of a quality: 20 grey levels of 256 at quality 50, halved for every 10 more.

    >>> round(step_of_quality(50, 8), 3), round(step_of_quality(60, 8), 3)
    (20.0, 10.0)
    """
    return float(20.0 * 2 ** ((50 - quality) / 10) * (1 if depth == 8 else 257))


class _Encoder:
    """The encoder of a whole picture."""

    def __init__(
        self, picture: np.ndarray, depth: int, half: bool, effort: Effort, deblock: bool | None,
        metadata: dict[str, bytes], threads: int, device: str, plain: bool, callback: Callable[[float], None] | None,
        copied: bool = False,
    ) -> None:  # fmt: skip
        self.picture, self.depth, self.effort, self.metadata = picture, depth, effort, metadata
        self.channels = 1 if picture.ndim == 2 else picture.shape[2]
        self.want_deblock, self.device = deblock, device
        shrink = tuple(round(256 * v) for v in SHRINK * 2)
        self.settings = Settings(
            512,
            half,
            0,
            effort.top,
            effort.bottom,
            effort.grid,
            shrink,
            1024,
            (bool(effort.maps or effort.directions), plain or copied or effort.directions > 0),
            plain,
            copied,
            directed=effort.directions > 0 and not (plain or copied),
        )
        self.tiles = tiles(picture.shape[0], picture.shape[1], self.settings.tile)
        self.threads = threads
        self.callback = callback or (lambda _: None)
        self.kept: dict[int, _TileEncoder] = {}
        self.looked = False

    def _tile(self, t: Tile) -> np.ndarray:
        return self.picture[t.y : t.y + t.height, t.x : t.x + t.width]

    def _encoder(self, i: int) -> _TileEncoder:
        """The encoder of tile i; kept for later runs if the picture has few tiles."""
        if i not in self.kept:
            made = _TileEncoder(
                self._tile(self.tiles[i]), self.depth, self.settings.half, self.effort, self.settings, self.device
            )
            if len(self.tiles) > MOST_KEPT:
                return made
            self.kept[i] = made
        return self.kept[i]

    def sample(self) -> list[int]:
        """Indices of the tiles by which sizes are estimated: all, or six of more than eight."""
        n = len(self.tiles)
        return list(range(n)) if n <= 8 else [round((i + 0.5) * n / 6) for i in range(6)]

    def likely_step(self, bits: float) -> tuple[int, float]:
        """The step index at which a file probably has so many bits per pixel, and octaves of size by step there."""
        some = {t: self._encoder(t) for t in (0, len(self.tiles) // 2)}
        counts = np.sum([rate.magnitudes([(p.cosines, p.chroma) for p in e.planes]) for e in some.values()], 0)
        pixels = sum(self._tile(self.tiles[t]).size // self.channels for t in some)
        return rate.likely_step(counts, pixels, bits)

    def run(
        self, step: int, passes: int, only: list[int] | None = None, measured: bool = False
    ) -> tuple[Finish | None, float, float]:
        """Encode at a step index.

        Returns:
            What chooses the filters and gives the code and its mean squared error: ``measured`` in the samples of all
            tiles, or estimated from the planes of one or two. None with ``only`` some tiles.
            The size in bytes, extrapolated from some tiles if so. The error if ``measured``, else 0.
        """
        settings = replace(self.settings, step=step)

        def first(i: int) -> tuple[_TileEncoder, list[QuadtreePlane]]:
            enc = self._encoder(i)
            return enc, enc.passed(settings, passes)

        n = len(self.tiles)
        segments: list[list[bytes]] = [[], [], []]
        # shrinkage and filter strength hold for the whole picture and are chosen on one or two tiles
        which = list(range(n)) if only is None else only
        few = which[:1] if n <= 2 else [which[0], which[len(which) // 2]]
        done = {i: first(i) for i in few}
        sums = [(0.0, 0.0)] * 6
        for enc, planes in done.values():
            sums = [(a + c, b + d) for (a, b), (c, d) in zip(sums, enc.centroids(planes), strict=True)]
        shrink = self.settings.shrink
        if not settings.copies:  # whose levels are relative to copies as they were decoded with the present values
            shrink = tuple(
                int(np.clip(round(256 * a / b) if b > 20 else v, -60, 120))
                for (a, b), v in zip(sums, shrink, strict=True)
            )
        settings = replace(settings, shrink=shrink)
        shown = [(i, enc, enc.shrunk(planes, shrink)) for i, (enc, planes) in done.items()]
        filters = cache(lambda: self._choose_filters(shown))

        def work(i: int) -> tuple[list[bytes], float]:
            enc, planes = done.pop(i) if i in done else first(i)
            planes = enc.shrunk(planes, shrink)
            written = write_planes(planes, self.effort.top, self.effort.bottom)
            return written, enc.squares(self._tile(self.tiles[i]), planes, *filters()[:2]) if measured else 0.0

        if measured or len(self.tiles) > MOST_KEPT:
            filters()
            shown.clear()  # encoders of tiles are large
        error = 0.0
        with ThreadPoolExecutor(max(1, self.threads)) as pool:
            for k, (written, e) in enumerate(pool.map(work, which)):
                for part, data in zip(segments, written, strict=True):
                    part.append(data)
                error += e
                self.callback((k + 1) / len(which))
        flat = tuple(segments[0] + segments[1] + segments[2])
        count = sum(self._tile(self.tiles[i]).size for i in which)
        if only is not None:
            return None, sum(map(len, flat)) * self.picture.size / count, error / count
        height, width = self.picture.shape[:2]

        def made(deblock: int, filtered: tuple[bool, bool]) -> QuadtreeCode:
            s = replace(settings, deblock=deblock, filtered=filtered)
            planes = CodedPlanes(height, width, self.channels, s, flat)
            return QuadtreeCode(height, width, self.channels, self.depth, s, planes, self.metadata)

        def finish() -> tuple[QuadtreeCode, float]:
            deblock, filtered, estimate = filters()
            return made(deblock, filtered), error / count if measured else estimate

        return finish, float(len(made(0, (False, False)).to_bytes())), error / count

    def _choose_filters(
        self, chosen: list[tuple[int, _TileEncoder, list[QuadtreePlane]]]
    ) -> tuple[int, tuple[bool, bool], float]:
        """The strength of deblocking, whether luma and chroma are filtered, and about the mean squared error then."""
        allowed = self.want_deblock is not False and not self.settings.plain
        strengths = ((0, 2, 4, 6) if self.want_deblock is None else (2, 4, 6)) if allowed else (0,)
        errors = np.zeros((len(strengths), 2, 2))  # by strength, luma or chroma, without and with the filter
        count = 0
        shown = []
        for i, enc, planes in chosen:
            shown.append((enc, planes, enc.decoded(planes)))
            count += self._tile(self.tiles[i]).size
        for enc, planes, seen in shown:
            for k, strength in enumerate(strengths):
                for n, (p, x) in enumerate(zip(planes, seen, strict=True)):
                    errors[k, int(n in (1, 2)), 0] += enc.error(n, _smoothed(p, x, strength))
        k = int(errors[:, :, 0].sum(1).argmin())
        if not allowed:
            return 0, (False, False), float(errors[k, :, 0].sum() / count)
        for enc, planes, seen in shown:
            for n, (p, x) in enumerate(zip(planes, seen, strict=True)):
                x = _smoothed(p, x, strengths[k])
                refine(x, p.step, n in (1, 2))
                errors[k, int(n in (1, 2)), 1] += enc.error(n, x)
        luma, chroma = (bool(with_ < without) for without, with_ in errors[k])
        return strengths[k], (luma, chroma), float(errors[k].min(1).sum() / count)


def encode(
    image: np.ndarray,
    *,
    quality: float | None = None,
    bpp: float | None = None,
    bytes: int | None = None,
    psnr: float | None = None,
    effort: int | Effort = 5,
    tune: str = "psnr",
    method: str = "quadtree",
    chroma: str = "auto",
    deblock: bool | None = None,
    metadata: dict[str, bytes] | None = None,
    threads: int | None = None,
    device: str = "cpu",
    callback: Callable[[float], None] | None = None,
) -> QuadtreeCode:
    """Compress a picture.

    Args:
        image: ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``, uint8 or uint16.
        quality: 1 to 100; 50 if no target is given. Give one of quality, bpp, bytes and psnr.
        bpp: size of the file in bits per pixel.
        bytes: size of the file in bytes.
        psnr: PSNR of the decoded file over all channels, in decibels.
        effort: 0 to 9, more time for a smaller file; or the settings themselves.
        tune: "psnr" for the least squared error, or "eye" to weigh errors by how visible they are.
        method: "quadtree", or "pifs" for the plain fractal coder of the literature, see :mod:`.pifs`.
        chroma: resolution of the chroma planes, "half", "full" or "auto": half, or full for high targets and where that
            is better, by trial.
        deblock: filter the borders of leaves, and then all samples by learned weights; None where it helps, False not.
        metadata: "icc", "exif", "xmp" and "dpi" (two float64, little endian), as bytes.
        threads: threads that encode tiles; None for one per core.
        device: torch device of the search for domains.
        callback: called with the fraction done.

    Raises:
        UsageError: an argument out of range, or a target that the picture cannot meet.
    """
    a, depth = checked_samples(image)
    targets = {"quality": quality, "bpp": bpp, "bytes": bytes, "psnr": psnr}
    given = {name: value for name, value in targets.items() if value is not None}
    _check_options(given, effort, method, chroma, tune, metadata)
    plan = effort if isinstance(effort, Effort) else EFFORTS[effort]
    if tune == "eye":
        plan = replace(plan, eye=True)
    if method == "pifs":
        log = side_of(quality or 50.0)
        plan = Effort(0, top=log, bottom=log, maps=(log,), grid=2)
    limit = None if bytes is None else min(bytes, 1 << 60)  # so that bits are finite
    bits = bpp if bpp is not None else 8 * limit / (a.shape[0] * a.shape[1]) if limit is not None else None
    if psnr is not None and not 0 < psnr <= 200:
        raise UsageError(f"psnr: expected dB from 0 to 200, got {psnr:g}")

    def run(half: bool, copied: bool = False) -> tuple[QuadtreeCode, float]:
        encoder = _Encoder(
            a, depth, half, plan, deblock, dict(metadata or {}), threads or os.cpu_count() or 1, device,
            method == "pifs", callback, copied,
        )  # fmt: skip
        if given and quality is None:
            return _aim(encoder, plan, a, depth, bits, psnr)
        finish, _, _ = encoder.run(step_index(step_of_quality(quality or 50.0, depth)), plan.passes + 1)
        assert finish is not None
        return finish()

    high = _fine(bits, psnr, quality)
    if chroma == "auto" and not high and a.ndim == 3 and method != "pifs":
        best = _tried(run, a, depth, bits, psnr)
    else:
        best, _ = run(chroma == "half" or (chroma == "auto" and not high))
    if method == "pifs" or not plan.maps or not _alike(a):
        return best
    return _better(best, run(best.settings.half, True)[0], a, bits, psnr)


def _tried(
    run: Callable[[bool], tuple[QuadtreeCode, float]], a: np.ndarray, depth: int, bits: float | None, psnr: float | None
) -> QuadtreeCode:
    """The better of halved and full chroma; full chroma is tried where halving costs much by itself."""
    lost = _lost_by_half(a, depth)
    if psnr is not None and lost > 0.9 * a.size * (2**depth - 1) ** 2 / 10 ** (psnr / 10):
        return run(False)[0]
    halved, error = run(True)
    if lost < HALF_LOSS * (error * a.size + lost):
        return halved
    return _better(halved, run(False)[0], a, bits, psnr)


def _better(
    one: QuadtreeCode, other: QuadtreeCode, a: np.ndarray, bits: float | None, psnr: float | None
) -> QuadtreeCode:
    """Of two codes for one target the better: in error at a size, in size at a PSNR, in both at a quality."""
    price = 3 * 8 * LAMBDA * one.settings.size**2  # of a byte; a step of luma changes R, G and B
    if a.ndim == 2:
        price /= 3

    def cost(code: QuadtreeCode) -> float:
        if psnr is not None:
            return len(code.to_bytes())
        return squared_error(code, a) + (0.0 if bits is not None else price * len(code.to_bytes()))

    return min(one, other, key=cost)


def _alike(a: np.ndarray) -> bool:
    """Whether the middle of a picture looks so much like itself, moved, that copies may pay."""
    y, x = (max(0, n - 512) // 2 for n in a.shape[:2])
    part = a[y : y + 512, x : x + 512].astype(np.float64)
    return min(part.shape[:2]) >= 16 and copies.likeness(part if a.ndim == 2 else part[..., :3].mean(2)) > copies.ALIKE


def squared_error(code: QuadtreeCode, picture: np.ndarray) -> float:
    """Sum of squared errors of the decoded picture, over all samples."""
    from fractalkit.maps.quadtree_picture import decode

    return sum_of_squares(decode(code), picture)


def _lost_by_half(picture: np.ndarray, depth: int) -> float:
    """Sum of squared errors that chroma at half the resolution costs by itself."""
    total = 0.0
    for y in range(0, picture.shape[0], 512):
        part = picture[y : y + 512]
        planes = to_planes(part, depth, True)
        shown = [doubled(v, *part.shape[:2]) if i in (1, 2) else v for i, v in enumerate(planes)]
        d = to_rgb(shown, depth).astype(np.float64) - part
        total += float((d * d).sum())
    return total


def _check_options(
    given: dict[str, Any], effort: int | Effort, method: str, chroma: str, tune: str, metadata: dict[str, bytes] | None
) -> None:
    """Refuse options of :func:`encode` that are out of range or contradict each other."""
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} were given together; give one")
    if any(not isinstance(v, int | float | np.number) or not math.isfinite(v) or v <= 0 for v in given.values()):
        raise UsageError(f"{next(iter(given))}: expected a positive number, got {next(iter(given.values()))!r}")
    if not 1 <= given.get("quality", 50) <= 100:
        raise UsageError(f"quality: expected 1 to 100, got {given['quality']}")
    if isinstance(effort, int) and not 0 <= effort < len(EFFORTS):
        raise UsageError(f"effort: expected 0 to {len(EFFORTS) - 1}, got {effort}")
    if method not in ("quadtree", "pifs") or chroma not in ("auto", "half", "full"):
        raise UsageError(f"unknown method {method!r} or chroma {chroma!r}")
    if method == "pifs" and given and "quality" not in given:
        raise UsageError("the plain PIFS has ranges of one size and so three rates; choose one by quality")
    if tune not in ("psnr", "eye") or (tune == "eye" and method == "pifs"):
        raise UsageError(f"tune: expected psnr, or eye for the quadtree, got {tune!r}")
    unknown = set(metadata or {}) - METADATA
    if unknown:
        raise UsageError(f"metadata: unknown {sorted(unknown)}; known are {', '.join(sorted(METADATA))}")


def _fine(bits: float | None, psnr: float | None, quality: float | None) -> bool:
    """Whether a target is so high that chroma is worth its full resolution."""
    return (bits or 0) > 2 or (psnr or 0) > 41 or (quality or 0) > 70


def _aim(
    encoder: _Encoder, plan: Effort, a: np.ndarray, depth: int, bits: float | None, psnr: float | None
) -> tuple[QuadtreeCode, float]:
    """Meet a target in bits per pixel or decibels, by a search for the step index: the code and its squared error."""
    pixels = a.shape[0] * a.shape[1]
    top = float((1 << depth) - 1)
    sample = encoder.sample()
    slope = -0.9 / 128  # octaves of size, or 6 dB, by step

    def miss(index: int, only: list[int] | None) -> tuple[Finish | None, float]:
        """What gives the code, and how far it is above the target: in octaves of size, or in units of 6 dB."""
        finish, size, error = encoder.run(index, plan.passes + 1, only, measured=psnr is not None)
        if bits is not None:
            return finish, math.log2(8 * size / pixels / bits)
        assert psnr is not None
        return finish, (10 * math.log10(top**2 / max(error, 1e-12)) - psnr) / 6.02

    def search(x: int, only: list[int] | None, rounds: int) -> tuple[int, Finish | None, float]:
        """The step that misses the target least, by regula falsi and then bisection."""
        nonlocal slope
        tried: dict[int, tuple[Finish | None, float]] = {x: miss(x, only)}
        f = tried[x][1]
        low, high = -1, 4096  # steps known to give too much, and too little
        for n in range(rounds):
            if abs(f) < ENOUGH:
                break
            low, high = (max(low, x), high) if f > 0 else (low, min(high, x))
            nx = round(x - f / slope)
            if not low < nx < high or n > 7:
                nx = (low + high) // 2 if low >= 0 and high <= 4095 else min(4095, max(0, nx))
            if nx in tried:
                break
            tried[nx] = miss(nx, only)
            nf = tried[nx][1]
            if abs(nx - x) > 8 and (nf - f) * (nx - x) < 0:  # between near steps, chance decides
                slope = float(np.clip((nf - f) / (nx - x), -3 / 128, -0.2 / 128))
            x, f = nx, nf
        best = min(tried, key=lambda k: abs(tried[k][1]))
        return best, *tried[best]

    if bits is not None:
        x, slope = encoder.likely_step(bits)
    else:
        assert psnr is not None
        x = step_index(3.0 * top / 10 ** (psnr / 20))
    if len(sample) < len(encoder.tiles):
        x, _, _ = search(x, sample, 8)
        x, finish, value = search(x, None, 2)
    else:
        x, finish, value = search(x, None, 12)
    assert finish is not None
    code, error = finish()
    if value > 0.03 and bits is not None:
        raise UsageError(f"this picture needs at least {len(code.to_bytes())} bytes; ask for more")
    if value < -0.03 and psnr is not None:
        raise UsageError(f"{psnr:g} dB is more than this codec reaches ({psnr + 6.02 * value:.1f} dB); ask for less")
    return code, error
