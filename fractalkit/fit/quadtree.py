"""A picture to a quadtree code: the encoder.

For each tile: cosines of all blocks of all sizes; for promising blocks the domain that explains most (a matrix product,
see :mod:`.quadtree_search`); then rate against distortion, bottom up (:mod:`.quadtree_rd`); then bytes. Rates are
learned from pass to pass, and domains are taken from the picture as the pass before decodes it, so that the fixed point
is near what the encoder reckoned with. One number, the quantiser's step, trades size for quality; a target is met by
bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

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
from fractalkit.codes.quadtree_segments import write_planes
from fractalkit.errors import DataError, UsageError
from fractalkit.fit import quadtree_rd as rd
from fractalkit.fit.pifs import fit_plane, side_of
from fractalkit.fit.quadtree_search import features, search
from fractalkit.maps import quadtree as maps

LAMBDA = 0.085  # of the squared step
SHRINK = (0.05, 0.03, 0.02)
# samples and cosines are integers in these fractions: all sums stay below 2^53, and float64 is exact in any order
FRACTION = {8: 16, 16: 2}
COSINE = {8: 1 << 16, 16: 1 << 14}
MAX_MAP = 16  # side of the largest leaf that may have a map


@dataclass(frozen=True)
class Effort:
    """What an encoder of some patience does.

    Attributes:
        passes: over rates, before the last.
        top, bottom: log2 of the largest and smallest leaf.
        maps: log2 sides of leaves for which domains are searched.
        grid: log2 of the distance of domains.
        count: cosines compared.
        isometries: tried.
        reach: last diagonal of cosines that is coded: 128 all, 1 the slopes, 0 the mean only.
    """

    passes: int = 1
    top: int = 5
    bottom: int = 2
    maps: tuple[int, ...] = (3, 4)
    grid: int = 2
    count: int = 18
    isometries: int = 8
    reach: int = 128


EFFORTS = (
    Effort(1, maps=(), bottom=3),
    Effort(1, maps=()),
    Effort(1, maps=(3,), grid=4, isometries=1),
    Effort(1, maps=(3,), grid=3),
    Effort(2, top=6, maps=(3, 4), grid=3),
    Effort(2, top=6, maps=(3, 4), grid=3, count=25),
    Effort(2, top=6, maps=(2, 3, 4), grid=3, count=25),
    Effort(3, top=6, maps=(2, 3, 4), grid=2, count=25),
    Effort(3, top=6, maps=(2, 3, 4), grid=2, count=33),
    Effort(4, top=6, maps=(2, 3, 4), grid=1, count=33),
)


@dataclass
class _Plane:
    """One plane of a tile on its way: samples, cosines of every size, candidates, and what stands now."""

    samples: np.ndarray  # [height, width] float64
    height: int
    width: int
    chroma: bool
    cosines: dict[int, np.ndarray]
    candidates: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict)
    code: QuadtreePlane | None = None


def basis(log: int, depth: int) -> np.ndarray:
    """The cosines of a block, rounded to integers: ``[side, side]``, row k is the k-th."""
    return np.asarray(np.rint(maps.cosines(1 << log).T * COSINE[depth]))


def transform(samples: np.ndarray, log: int, depth: int) -> np.ndarray:
    """Cosines of all blocks of one side in their own places, ``[H, W]`` float32, by exact integers in float64.

    ``samples`` of ``depth`` bits are rounded to fractions.
    """
    side = 1 << log
    h, w = samples.shape
    a, fraction = basis(log, depth), FRACTION[depth]
    t = np.rint(samples * fraction).reshape(h, w // side, side) @ a.T
    t = np.matmul(a, t.reshape(h // side, side, w))
    return np.asarray((t.reshape(h, w) * (1 / (float(COSINE[depth]) ** 2 * fraction))).astype(np.float32))


def _pad(v: np.ndarray, top: int) -> np.ndarray:
    big = 1 << max(5, top)
    return np.pad(v, ((0, -v.shape[0] % big), (0, -v.shape[1] % big)), mode="edge")


class _TileEncoder:
    """One tile at any step: holds what does not depend on the step, and learns rates as it goes."""

    def __init__(
        self, picture: np.ndarray, depth: int, half: bool, effort: Effort, settings: Settings, device: str
    ) -> None:
        self.depth, self.half, self.effort, self.device = depth, half, effort, device
        self.settings = settings
        self.rates = {False: rd.Rates.guess(), True: rd.Rates.guess()}
        self.planes = []
        for i, v in enumerate(maps.separate(picture, depth, half)):
            padded = _pad(v, effort.top)
            cosines = {log: transform(padded, log, depth) for log in range(effort.bottom, effort.top + 1)}
            self.planes.append(_Plane(padded, v.shape[0], v.shape[1], i in (1, 2), cosines))
        self.error = 0.0

    # ---- domains

    def look(self, step: float) -> None:
        """Find the best domain of each block that has more to explain than a map costs."""
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
            flat = d.reshape(len(d), -1).astype(np.float64)
            norms = np.sqrt(np.maximum((flat**2).sum(1) - flat[:, 0] ** 2 - flat[:, 1] ** 2 - flat[:, side] ** 2, 0))
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
        view = np.lib.stride_tricks.sliding_window_view(four, (2 * side - 1, 2 * side - 1))[ys][:, xs][..., ::2, ::2]
        blocks = np.ascontiguousarray(view).reshape(-1, side, side)
        return np.asarray((a @ blocks @ a.T * (1 / (float(COSINE[self.depth]) ** 2 * 4 * f))).astype(np.float32))

    def _brought(self, picture: np.ndarray, log: int, yd: np.ndarray, xd: np.ndarray, iso: np.ndarray) -> np.ndarray:
        """Cosines of what the chosen domains bring, mean and slopes left out: ``[n, side, side]`` float32."""
        side = 1 << log
        f = FRACTION[self.depth]
        whole = np.rint(picture.astype(np.float64) * f)
        i, j = np.indices((side, side))
        y, x = yd[:, None, None] + 2 * i, xd[:, None, None] + 2 * j
        blocks = whole[y, x] + whole[y + 1, x] + whole[y, x + 1] + whole[y + 1, x + 1]
        a = basis(log, self.depth)
        c = a @ blocks @ a.T * (1 / (float(COSINE[self.depth]) ** 2 * 4 * f))
        k = np.arange(side)
        odd = np.where(k % 2, -1.0, 1.0)
        c = np.where((iso & 1)[:, None, None] > 0, c * odd[:, None], c)
        c = np.where((iso & 2)[:, None, None] > 0, c * odd[None, :], c)
        c = np.where((iso & 4)[:, None, None] > 0, c.transpose(0, 2, 1), c)
        c[:, 0, 0] = c[:, 0, 1] = c[:, 1, 0] = 0
        return np.asarray(c.astype(np.float32))

    # ---- one pass

    def encode(self, settings: Settings, seen: list[np.ndarray] | None) -> list[QuadtreePlane]:
        """The best planes at the settings' step; ``seen``: luma as decoded by the pass before, for domains."""
        steps = plane_steps(settings, 1 if len(self.planes) == 1 else len(self.planes))
        counts = {False: rd.Counts.empty(), True: rd.Counts.empty()}
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
            self.rates[chroma] = rd.Rates.learn(counts[chroma])
        return out

    def _proved(self, p: _Plane, step: float, settings: Settings, seen: np.ndarray | None) -> QuadtreePlane:
        """A plane whose map is proved to contract: leaves that stand in the way of the proof lose their candidates."""
        for _ in range(4):
            code = self._plane(p, step, settings, seen)
            leaves, contrast = maps.mapped_leaves(code)
            v, l = maps.certificate(code, leaves, contrast, enough=1.0)
            if l < 1:
                return code
            if settings.plain:
                break
            for k in maps.expanding(code, leaves, contrast, v):
                y, x, log = leaves[k, :3]
                rows, columns, *rest = p.candidates[int(log)]
                keep = (rows != y >> log) | (columns != x >> log)
                p.candidates[int(log)] = (rows[keep], columns[keep], *(r[keep] for r in rest))
        return contracting(code)

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
                p.cosines[log],
                log,
                p.height,
                p.width,
                step,
                lam,
                rates.level,
                rates.last,
                rates.mean,
                shrink,
                e.reach,
                level,
                cost,
            )
            if settings.maps[p.chroma]:
                cost += lam * rates.fractal[log - 2, 0]
                maps_of[log] = np.zeros((h >> log, w >> log, 4), np.int32)
            if log in p.candidates:
                rows, columns, yd, xd, iso = p.candidates[log]
                d = self._brought(p.samples if seen is None else seen, log, yd, xd, iso)
                g, side = 1 << settings.grid, 1 << log
                address = np.stack([iso, yd // g - rows * side // g, xd // g - columns * side // g], 1)
                contrasts = GRID_CONTRAST * np.arange(1, maps.CONTRASTS + 1)
                rd.mapped(
                    rows, columns, d, log, address, p.cosines[log], step, lam, rates.level, rates.last, rates.mean,
                    rates.fractal, rates.map, rates.address, shrink, e.reach, contrasts, level, cost,
                    maps_of[log],
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
            logs, level, chosen, p.height, p.width, step, (s[0] / 256, s[1] / 256, s[2] / 256), 1 << settings.grid
        )

    # ---- what came out

    def centroids(self, planes: list[QuadtreePlane]) -> list[tuple[float, float]]:
        """For luma and chroma, and magnitudes 1, 2 and more: how far cosines lie below their levels, and how many."""
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

    def decoded(self, planes: list[QuadtreePlane]) -> list[np.ndarray]:
        """Fixed points of all planes, padded."""
        return [maps.fixed_point(p, tol=0.1) for p in planes]

    def squares(
        self, picture: np.ndarray, planes: list[QuadtreePlane], seen: list[np.ndarray], deblock: int
    ) -> tuple[float, int]:
        """Sum of squared errors of the picture's samples, and their number."""
        from fractalkit.maps import quadtree_cpu as cpu

        shown = []
        for i, (p, x) in enumerate(zip(planes, seen, strict=True)):
            x = x.copy()
            if deblock:
                limit = maps.deblock_limit(p.step, deblock)
                cpu.deblock(x, p.logs, 1, limit, maps.DEBLOCK_REACH, p.height, p.width, 0, 0)
            x = x[: p.height, : p.width]
            shown.append(maps.double(x, *picture.shape[:2]) if i in (1, 2) and self.half else x)
        d = maps.colours(shown, self.depth).astype(np.float64) - picture
        return float((d * d).sum()), d.size


def contracting(plane: QuadtreePlane) -> QuadtreePlane:
    """The plane, its contrasts lowered as far as it takes to prove that the map contracts (they hardly ever must)."""
    while True:
        leaves, contrast = maps.mapped_leaves(plane)
        if maps.certificate(plane, leaves, contrast, enough=1.0)[1] < 1:
            return plane
        code = plane.maps[..., 0]
        lower = np.where((code - 1) % maps.CONTRASTS > 0, code - 1, np.where(code == 1, 0, code))
        lower = np.where(code == maps.CONTRASTS + 1, 0, lower)
        chosen = plane.maps.copy()
        chosen[..., 0] = lower
        plane = replace(plane, maps=chosen)


def checked(image: np.ndarray) -> tuple[np.ndarray, int]:
    """A picture that can be coded, and its depth.

    Raises:
        UsageError: another shape or type.
    """
    a = np.asarray(image)
    if a.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"image: expected uint8 or uint16 samples, got {a.dtype}")
    if a.ndim == 3 and a.shape[2] == 1:
        a = a[..., 0]
    if a.ndim not in (2, 3) or (a.ndim == 3 and a.shape[2] not in (3, 4)) or 0 in a.shape:
        raise UsageError(f"image: expected [H, W], [H, W, 3] or [H, W, 4], got {list(a.shape)}")
    return a, 8 if a.dtype == np.uint8 else 16


def step_of_quality(quality: float, depth: int) -> float:
    """The quantiser's step of a quality: 50 is 20 grey levels of 256, 10 more halve it; 100 about 0.6.

    >>> round(step_of_quality(50, 8), 3), round(step_of_quality(60, 8), 3)
    (20.0, 10.0)
    """
    return float(20.0 * 2 ** ((50 - quality) / 10) * (1 if depth == 8 else 257))


class _Encoder:
    """The whole picture at any step."""

    def __init__(
        self, picture: np.ndarray, depth: int, half: bool, effort: Effort, deblock: bool | None,
        metadata: dict[str, bytes], threads: int, device: str, plain: bool, callback: Callable[[float], None] | None,
    ) -> None:  # fmt: skip
        self.picture, self.depth, self.effort, self.metadata = picture, depth, effort, metadata
        self.channels = 1 if picture.ndim == 2 else picture.shape[2]
        self.want_deblock, self.device = deblock, device
        shrink = tuple(round(256 * v) for v in SHRINK * 2)
        self.settings = Settings(
            512, half, 0, effort.top, effort.bottom, effort.grid, shrink, 1024, (bool(effort.maps), plain), plain
        )
        self.tiles = tiles(picture.shape[0], picture.shape[1], self.settings.tile)
        self.threads = threads
        self.callback = callback or (lambda _: None)
        self.kept: dict[int, _TileEncoder] = {}
        self.looked = False

    def _tile(self, t: Tile) -> np.ndarray:
        return self.picture[t.y : t.y + t.height, t.x : t.x + t.width]

    def _encoder(self, i: int) -> _TileEncoder:
        """Of a tile; those of small pictures are kept from pass to pass."""
        if i not in self.kept:
            made = _TileEncoder(
                self._tile(self.tiles[i]), self.depth, self.settings.half, self.effort, self.settings, self.device
            )
            if len(self.tiles) > 4:
                return made
            self.kept[i] = made
        return self.kept[i]

    def sample(self) -> list[int]:
        """Some tiles that stand for all, where there are many."""
        n = len(self.tiles)
        return list(range(n)) if n <= 8 else [round((i + 0.5) * n / 6) for i in range(6)]

    def run(self, step: int, passes: int, only: list[int] | None = None) -> tuple[QuadtreeCode | None, float, float]:
        """Encode at a step index; the code, its bytes, and the mean squared error of its picture.

        With ``only`` some tiles there is no code, and the bytes are what all would take at the rate of these.
        """
        settings = replace(self.settings, step=step)

        def first(i: int) -> Any:
            enc = self._encoder(i)
            if self.effort.maps and not settings.plain and not enc.planes[0].candidates:
                enc.look(settings.size)
            seen = None
            # what was learned at another step would pull this one its way, and a target could then not be aimed at
            enc.rates = {False: rd.Rates.guess(), True: rd.Rates.guess()}
            for n in range(passes):
                planes = enc.encode(settings, seen)
                if self.effort.maps and n + 1 < passes:
                    seen = enc.decoded(planes)
            return enc, planes

        n = len(self.tiles)
        segments: list[list[bytes]] = [[], [], []]
        # the reconstruction's shrinkage and the filter are the picture's, chosen on its first few tiles
        which = list(range(n)) if only is None else only
        few = which[:1] if n <= 2 else [which[0], which[len(which) // 2]]
        done = {i: first(i) for i in few}
        sums = [(0.0, 0.0)] * 6
        for enc, planes in done.values():
            sums = [(a + c, b + d) for (a, b), (c, d) in zip(sums, enc.centroids(planes), strict=True)]
        shrink = tuple(
            int(np.clip(round(256 * a / b) if b > 20 else v, -60, 120))
            for (a, b), v in zip(sums, self.settings.shrink, strict=True)
        )
        settings = replace(settings, shrink=shrink)
        deblock = self._choose_deblock(done, shrink)
        settings = replace(settings, deblock=deblock)

        def work(i: int) -> tuple[list[bytes], float, int]:
            enc, planes = done.pop(i) if i in done else first(i)
            planes = [
                replace(p, shrink=tuple(v / 256 for v in shrink[3 * q.chroma : 3 * q.chroma + 3]))
                for p, q in zip(planes, enc.planes, strict=True)
            ]
            written = write_planes(planes, self.effort.top, self.effort.bottom)
            seen = enc.decoded(planes)
            error, count = enc.squares(self._tile(self.tiles[i]), planes, seen, deblock)
            return written, error, count

        error = count = 0.0
        with ThreadPoolExecutor(max(1, self.threads)) as pool:
            for k, (written, e, c) in enumerate(pool.map(work, which)):
                for part, data in zip(segments, written, strict=True):
                    part.append(data)
                error += e
                count += c
                self.callback((k + 1) / len(which))
        flat = tuple(segments[0] + segments[1] + segments[2])
        if only is not None:
            return None, sum(map(len, flat)) * self.picture.size / count, error / count
        code = QuadtreeCode(
            self.picture.shape[0], self.picture.shape[1], self.channels, self.depth, settings, flat, self.metadata
        )
        return code, float(len(code.to_bytes())), error / count

    def _choose_deblock(self, done: dict[int, Any], shrink: tuple[int, ...]) -> int:
        if self.want_deblock is False or self.settings.plain:
            return 0
        strengths = (0, 2, 4, 6) if self.want_deblock is None else (2, 4, 6)
        totals = [0.0] * len(strengths)
        for i, (enc, planes) in done.items():
            planes = [
                replace(p, shrink=tuple(v / 256 for v in shrink[3 * q.chroma : 3 * q.chroma + 3]))
                for p, q in zip(planes, enc.planes, strict=True)
            ]
            seen = enc.decoded(planes)
            for k, strength in enumerate(strengths):
                totals[k] += enc.squares(self._tile(self.tiles[i]), planes, seen, strength)[0]
        return strengths[int(np.argmin(totals))]


def encode(
    image: np.ndarray,
    *,
    quality: float | None = None,
    bpp: float | None = None,
    bytes: int | None = None,
    psnr: float | None = None,
    effort: int | Effort = 5,
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
        quality: 1 to 100, the default is 50; or one of the targets
        bpp: bits of the file by pixels,
        bytes: of the file,
        psnr: dB over all channels, from the file as decoded.
        effort: 0 to 9, time for rate; or what exactly to do.
        method: "quadtree", or "pifs" for the plain one of the literature: ranges of one size, each a map.
        chroma: "half", "full" or "auto".
        deblock: filter the borders of leaves; None where it helps.
        metadata: "icc" and "exif".
        threads: for tiles; None for all cores.
        device: of the search, as torch names it.
        callback: told the fraction done.

    Raises:
        UsageError: an argument out of range, or a target that the picture cannot meet.
    """
    import os

    a, depth = checked(image)
    given = {k: v for k, v in (("quality", quality), ("bpp", bpp), ("bytes", bytes), ("psnr", psnr)) if v is not None}
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} were given together; give one")
    if any(not math.isfinite(v) or v <= 0 for v in given.values()):
        raise UsageError(f"{next(iter(given))}: expected a positive number, got {next(iter(given.values()))}")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality: expected 1 to 100, got {quality}")
    if isinstance(effort, int) and not 0 <= effort < len(EFFORTS):
        raise UsageError(f"effort: expected 0 to {len(EFFORTS) - 1}, got {effort}")
    if method not in ("quadtree", "pifs") or chroma not in ("auto", "half", "full"):
        raise UsageError(f"unknown method {method!r} or chroma {chroma!r}")
    plan = effort if isinstance(effort, Effort) else EFFORTS[effort]
    if method == "pifs":
        if given and quality is None:
            raise UsageError("the plain PIFS has ranges of one size and so three rates; choose one by quality")
        log = side_of(quality or 50.0)
        plan = Effort(0, top=log, bottom=log, maps=(log,), grid=2)
    bits = bpp if bpp is not None else 8 * bytes / (a.shape[0] * a.shape[1]) if bytes is not None else None
    if chroma == "auto":
        fine = (
            (bits is not None and bits > 2.0)
            or (psnr is not None and psnr > 41)
            or (quality is not None and quality > 70)
        )
        half = not fine
    else:
        half = chroma == "half"
    unknown = set(metadata or {}) - {"icc", "exif"}
    if unknown:
        raise UsageError(f"metadata: unknown {sorted(unknown)}; known are icc and exif")
    encoder = _Encoder(
        a,
        depth,
        half,
        plan,
        deblock,
        dict(metadata or {}),
        threads or os.cpu_count() or 1,
        device,
        method == "pifs",
        callback,
    )
    if not given or quality is not None:
        code, _, _ = encoder.run(step_index(step_of_quality(quality or 50.0, depth)), plan.passes + 1)
        assert code is not None
        return code
    return _aim(encoder, plan, a, depth, bits, psnr)


def _aim(
    encoder: _Encoder, plan: Effort, a: np.ndarray, depth: int, bits: float | None, psnr: float | None
) -> QuadtreeCode:
    """Meet a target of bits a pixel or decibels: regula falsi on the step's logarithm, then the nearest step."""
    pixels = a.shape[0] * a.shape[1]
    top = float((1 << depth) - 1)
    sample = encoder.sample()
    slope = -0.9 / 128  # octaves of size, or 6 dB, by step

    def miss(index: int, only: list[int] | None) -> tuple[QuadtreeCode | None, float]:
        """The code, and by how many octaves of size, or 6 dB, it is above the target."""
        code, size, error = encoder.run(index, plan.passes + 1, only)
        if bits is not None:
            return code, math.log2(8 * size / pixels / bits)
        assert psnr is not None
        return code, (10 * math.log10(top**2 / max(error, 1e-12)) - psnr) / 6.02

    def search(x: int, only: list[int] | None, rounds: int) -> tuple[int, QuadtreeCode | None, float]:
        """The step whose miss is least: regula falsi, then halves of what is left."""
        nonlocal slope
        tried: dict[int, tuple[QuadtreeCode | None, float]] = {x: miss(x, only)}
        f = tried[x][1]
        low, high = -1, 4096  # steps known to give too much, and too little
        for n in range(rounds):
            if abs(f) < 0.004:
                break
            low, high = (max(low, x), high) if f > 0 else (low, min(high, x))
            nx = round(x - f / slope)
            if not low < nx < high or n > 7:
                nx = (low + high) // 2 if low >= 0 and high <= 4095 else min(4095, max(0, nx))
            if nx in tried:
                break
            tried[nx] = miss(nx, only)
            nf = tried[nx][1]
            if (nf - f) * (nx - x) < 0:
                slope = float(np.clip((nf - f) / (nx - x), -3 / 128, -0.2 / 128))
            x, f = nx, nf
        best = min(tried, key=lambda k: abs(tried[k][1]))
        return best, *tried[best]

    x = step_index((20.0 if bits is None else 18.0 / max(bits, 0.01) ** 0.75) * (1 if depth == 8 else 257))
    if psnr is not None:
        x = step_index(3.0 * top / 10 ** (psnr / 20))
    if len(sample) < len(encoder.tiles):
        x, _, _ = search(x, sample, 8)
        _, code, value = search(x, None, 2)
    else:
        _, code, value = search(x, None, 12)
    assert code is not None
    if value > 0.03 and bits is not None:
        raise UsageError(f"this picture needs at least {len(code.to_bytes())} bytes; ask for more")
    if value < -0.03 and psnr is not None:
        raise UsageError(f"{psnr:g} dB is more than this codec reaches ({psnr + 6.02 * value:.1f} dB); ask for less")
    return code


__all__ = ["EFFORTS", "DataError", "Effort", "encode", "step_of_quality"]
