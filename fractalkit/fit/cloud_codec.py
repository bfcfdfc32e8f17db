"""Encode a cloud as a collage: cut it into cells, code their moments, find for each a larger cell that it is like.

    cells     a binary tree: the cell that pays most is cut in two at the median along its longest axis, or at a gap
    moments   quantised; from then on the encoder sees the frames that the decoder will see
    domains   Jacquin's search: the images of all likely domains under all turns, both ways to the range's points
    rate      the number of cells, and with it the steps, until the file has the size that was asked for

The map of a range takes the mean and covariance of its domain to its own, so that the fixed point has exactly the
moments that were coded; what is searched is only a domain and an orthogonal matrix.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np

from fractalkit.codec import cloud_file as file
from fractalkit.codec import cloud_syntax as syntax
from fractalkit.errors import DataError, UsageError

# mypy: disable-error-code="no-untyped-def, no-any-return"

CAP = file.CAP
LEAST = 6  # points of a cell, at least; fewer in clouds of few points
FAR = 1e30  # error of what is not allowed
SHORT = 40  # points with which all domains are measured,
LONG = 64  # points with which the best are,
BEST = 8  # and how many these are; by default
EFFORT = 5
MORE = 1.2  # times as many points with each step of effort: half as much work again
MAP_BITS = 8.6  # of a map, about
TRIES = 6  # sizes that are tried to meet a number of bytes
FINENESS = 0.35  # step over the second extent of the cells
STEPS = (1.5, 1.0, 1.5, 1.0)  # of means along tangents and normal, of shapes along both
THREAD = 0.02  # of the length of cells, the least width that steps fit
COLOUR_STEP = 0.06
_WORTH = (0.4, 0.4)  # power of the mass, and share of the second extent beside the third, in what a cut pays
LIMIT = 400_000  # points that are looked at


@dataclass
class Cell:
    """A node of the encoder's tree: the numbers of its points, its depth, mean ``[3]``, covariance and extents."""

    index: np.ndarray
    depth: int
    mean: np.ndarray
    cov: np.ndarray
    sigma: np.ndarray
    axis: np.ndarray
    share: int = 2048
    kids: tuple[Cell, Cell] | None = None

    @classmethod
    def of(cls, x: np.ndarray, index: np.ndarray, depth: int) -> Cell:
        """The cell of some points of a cloud."""
        part = x[index]
        mean = part.mean(axis=0)
        part = part - mean
        cov = part.T @ part / len(part)
        values, vectors = np.linalg.eigh(cov)
        return cls(index, depth, mean, cov, np.sqrt(np.maximum(values[::-1], 0)), vectors[:, -1])

    def worth(self, flat: bool) -> float:
        """How much a cut of the cell pays; ``flat``: of a planar cloud."""
        power, share = _WORTH
        thickness = self.sigma[1] if flat else self.sigma[2] + share * self.sigma[1]
        return len(self.index) ** power * float(thickness)


class Cutter:
    """Cuts a cloud ``[N, 3]``, the cell that pays most first, and remembers in which order."""

    def __init__(self, x: np.ndarray, flat: bool = False) -> None:
        self.x, self.flat = x, flat
        self.least = min(LEAST, 1 + len(x) // 100)
        self.root = Cell.of(x, np.arange(len(x)), 0)
        self.cuts: list[Cell] = []
        self._heap: list[tuple[float, int, Cell]] = []
        self._count = 0
        self._push(self.root)

    def _push(self, cell: Cell) -> None:
        if len(cell.index) >= 2 * self.least and cell.sigma[0] > 0 and cell.depth < syntax.MAX_DEPTH:
            self._count += 1
            heapq.heappush(self._heap, (-cell.worth(self.flat), self._count, cell))

    def grow(self, leaves: int) -> int:
        """Cut until there are so many leaves, or none that can be cut; returns how many, at most ``leaves``."""
        while len(self.cuts) + 1 < leaves and self._heap:
            cell = heapq.heappop(self._heap)[2]
            self._cut(cell)
            self.cuts.append(cell)
            for kid in cell.kids or ():
                self._push(kid)
        return min(leaves, len(self.cuts) + 1)

    def _cut(self, cell: Cell) -> None:
        along = (self.x[cell.index] - cell.mean) @ cell.axis
        order = np.argsort(along, kind="stable")
        n = len(order)
        k = n // 2
        gaps = np.diff(along[order])
        widest = int(np.argmax(gaps))
        if gaps[widest] > 0.3 * (along[order[-1]] - along[order[0]]) and gaps[widest] > 0:
            k = widest + 1
            cell.share = min(4095, max(1, round(4096 * k / n)))
        first, second = (Cell.of(self.x, cell.index[o], cell.depth + 1) for o in (order[:k], order[k:]))
        cell.kids = first, second


@dataclass
class Source:
    """The encoder's tree of some number of leaves, as arrays: children ``[S, 2]``, shares ``[S]``, means ``[S, 3]``,
    colours ``[S, 3]``."""

    cells: list[Cell]
    kids: np.ndarray
    share: np.ndarray
    mean: np.ndarray
    colour: np.ndarray


def source_of(cutter: Cutter, leaves: int, colours: np.ndarray | None) -> Source:
    """The tree after the first cuts; means and colours of inner nodes are those that the shares give."""
    cells, kids = [cutter.root], [[-1, -1]]
    number = {id(cutter.root): 0}
    for cell in cutter.cuts[: leaves - 1]:
        i = number[id(cell)]
        for k, kid in enumerate(cell.kids or ()):
            kids[i][k] = number[id(kid)] = len(cells)
            cells.append(kid)
            kids.append([-1, -1])
    table = np.array(kids)
    share = np.array([c.share for c in cells])
    values = np.zeros((len(cells), 6))
    for i in range(len(cells) - 1, -1, -1):
        a, b = table[i]
        if a >= 0:
            p = share[i] / 4096.0
            values[i] = p * values[a] + (1 - p) * values[b]
        else:
            values[i, :3] = cells[i].mean
            if colours is not None:
                values[i, 3:] = colours[cells[i].index].mean(axis=0)
    return Source(cells, table, share, values[:, :3] - values[0, :3], np.ascontiguousarray(values[:, 3:]))


# ---- domains


@nb.njit(cache=True)
def _image(sigma, inverse, turn, white, out):
    """The image of a whitened domain in the frame of a range, or False where its map in the plane is none to allow."""
    s = 0.0
    for a in range(2):
        for b in range(2):
            s += (sigma[a] * turn[a, b] * inverse[b]) ** 2
    t = (sigma[0] * sigma[1] * inverse[0] * inverse[1]) ** 2
    if s / 2 + math.sqrt(max(s * s / 4 - t, 0.0)) > CAP * CAP:
        return False
    thick = min(sigma[2], CAP / inverse[2]) * turn[2, 2]
    for i in range(len(white)):
        for a in range(2):
            out[i, a] = sigma[a] * (turn[a, 0] * white[i, 0] + turn[a, 1] * white[i, 1])
        out[i, 2] = thick * white[i, 2]
    return True


@nb.njit(cache=True)
def measure(target, sigma, white, turns, inverse, out):
    """Sums of the mean distances, both ways, between a range and the images of domains under all turns.

    Args:
        target: points of the range ``[N, 3]`` in its frame; sigma: its extents ``[3]``.
        white: points of C domains ``[C, M, 3]`` in their frames, over their extents, to which ``inverse`` ``[C, 3]``.
        turns: orthogonal matrices ``[T, 3, 3]``.
        out: ``[C, T]``; FAR where the map is not allowed.
    """
    m, n = white.shape[1], len(target)
    q, back = np.empty((m, 3)), np.empty(n)
    for d in range(len(white)):
        for o in range(len(turns)):
            if not _image(sigma, inverse[d], turns[o], white[d], q):
                out[d, o] = FAR
                continue
            back[:] = FAR
            there = 0.0
            for i in range(m):
                best = FAR
                for j in range(n):
                    e = (q[i, 0] - target[j, 0]) ** 2 + (q[i, 1] - target[j, 1]) ** 2 + (q[i, 2] - target[j, 2]) ** 2
                    best = min(best, e)
                    back[j] = min(back[j], e)
                there += math.sqrt(best)
            total = 0.0
            for j in range(n):
                total += math.sqrt(back[j])
            out[d, o] = there / m + total / n


def plain_measure(target: np.ndarray, image: np.ndarray) -> float:
    """What :func:`measure` says of one image, in plain NumPy."""
    d = np.linalg.norm(target[:, None] - image[None], axis=2)
    return float(d.min(axis=0).mean() + d.min(axis=1).mean())


class DomainSearch:
    """The search for domains in a coded tree.

    Args:
        x: the cloud; cells: the encoder's cell of every node of ``tree``.
        colours: luma and chroma of the points, or None.
        effort: 0 to 9; how many points, and how many domains with all of them, are measured.
    """

    def __init__(self, x: np.ndarray, cells: list[Cell], tree: file.CloudTree, settings: file.CloudSettings,
                 colours: np.ndarray | None, rng: np.random.Generator, effort: int = EFFORT) -> None:  # fmt: skip
        grown = MORE ** (effort - EFFORT)
        self.short, self.long = max(10, round(SHORT * grown)), max(16, round(LONG * grown))
        self.best = max(2, round(BEST * grown))
        self.x, self.cells, self.tree, self.colours, self.rng = x, cells, tree, colours, rng
        self.sigma, self.axes = tree.axes()
        self.floor = file.step_of(settings.steps[3]) / 4
        self.turns = file.turns()[: syntax.TURNS if settings.dim == 3 else syntax.TURNS // 2]
        self.table, self.many = file.domains(tree, self.sigma, settings.ranks)
        inverse = 1 / np.maximum(self.sigma, self.floor)
        self.inverse, self.white = inverse, np.zeros((len(tree.live), self.long, 3))
        self.pick = np.zeros((len(tree.live), self.long), np.int64)
        for i in np.flatnonzero(tree.live):
            index = cells[i].index
            self.pick[i] = index[rng.integers(0, len(index), self.long)]
            self.white[i] = ((x[self.pick[i]] - tree.mean[i]) @ self.axes[i]) * inverse[i]

    def run(self) -> np.ndarray:
        """Choose domain, turn and contrast of every leaf, into the tree; returns the errors ``[R]``."""
        errors = np.zeros(len(self.tree.order))
        for r, node in enumerate(self.tree.order):
            errors[r] = self._choose(r, node, self.table[r, : self.many[r]])
        return errors

    def _choose(self, r: int, node: int, can: np.ndarray) -> float:
        index = self.cells[node].index
        pick = index if len(index) <= self.long else index[self.rng.choice(len(index), self.long, replace=False)]
        target = (self.x[pick] - self.tree.mean[node]) @ self.axes[node]
        # a few points of all candidates, then all points of the best
        rough = np.zeros((len(can), len(self.turns)))
        measure(
            target[: self.short], self.sigma[node], self.white[can, : self.short], self.turns, self.inverse[can], rough
        )
        best = np.argsort(rough.min(axis=1), kind="stable")[: self.best]
        fine = np.zeros((len(best), len(self.turns)))
        measure(target, self.sigma[node], self.white[can[best]], self.turns, self.inverse[can[best]], fine)
        b, o = divmod(int(np.argmin(fine)), len(self.turns))
        self.tree.rank[r], self.tree.turn[r] = best[b], o
        if self.colours is not None and self.tree.live[can[best[b]]]:
            self.tree.contrast[r] = self._contrast(node, can[best[b]], pick, target, o)
        return float(fine[b, o])

    def _contrast(self, node: int, domain: int, pick: np.ndarray, target: np.ndarray, turn: int) -> int:
        """How much of the domain's colours, about their mean, the range has: least squares over nearest points."""
        image = np.zeros((self.long, 3))
        _image(self.sigma[node], self.inverse[domain], self.turns[turn], self.white[domain], image)
        near = ((target[:, None] - image[None]) ** 2).sum(axis=2).argmin(axis=1)
        assert self.colours is not None
        mine = self.colours[pick] - self.tree.colour[node]
        its = self.colours[self.pick[domain]][near] - self.tree.colour[domain]
        gain = float((mine * its).sum()) / max(float((its * its).sum()), 1e-12)
        return int(min(syntax.CONTRASTS - 1, max(0, round(gain * syntax.CONTRASTS))))


# ---- a file of some number of leaves


@dataclass
class Coder:
    """Codes one cloud with any number of leaves.

    Attributes:
        cutter: of the cloud, in units of the scale, about its mean.
        colours: luma and chroma ``[N, 3]``, or None.
        dim, exponent, origin, points: as in the settings.
        seed: of the samples that the search draws.
        effort: of the search.
    """

    cutter: Cutter
    colours: np.ndarray | None
    dim: int
    exponent: int
    origin: tuple[int, ...]
    points: int
    seed: int
    effort: int = EFFORT

    def step(self, leaves: int, fineness: float) -> int:
        """Index of the step that fits cells of the size that so many leaves have."""
        ends = self._leaves(self.cutter.grow(leaves))
        extent = float(np.mean([c.sigma[1] if self.dim == 3 else c.sigma[0] / 2 for c in ends]))
        # of lines, which have no width
        extent = max(extent, THREAD * float(np.mean([c.sigma[0] for c in ends])))
        return file.index_of(max(fineness * extent, 2.0**-28))

    def settings(self, leaves: int, step: int) -> file.CloudSettings:
        """Settings of a file with so many leaves and a step."""
        base = min(syntax.MAX_DEPTH, round(math.log2(leaves)))
        # differences of means, whose steps are finest at the root, and extents are below one, and so are their levels
        most = file.index_of(2.0 / syntax.MAX_LEVEL)
        finest = (max(0, most - 4 * base), max(0, most - 4 * base), most, most)
        a, b, c, d = (min(f, max(0, step - round(8 * math.log2(k)))) for k, f in zip(STEPS, finest, strict=True))
        colour = file.index_of(COLOUR_STEP)
        return file.CloudSettings(
            self.dim,
            self.colours is not None,
            self.exponent,
            self.origin,
            self.points,
            leaves,
            (a, b, c, d),
            colour,
            base,
        )

    def _leaves(self, leaves: int) -> list[Cell]:
        cut = {id(c) for c in self.cutter.cuts[: leaves - 1]}
        every = [self.cutter.root, *(k for c in self.cutter.cuts[: leaves - 1] for k in c.kids or ())]
        return [c for c in every if id(c) not in cut]

    def encode(self, leaves: int, step: int | None = None, *, whole: bool = True) -> file.CloudCode:
        """The code with so many leaves, where there are, and a step, by default one that fits their size.

        Without ``whole`` the maps are not searched for, and all alike.
        """
        leaves = self.cutter.grow(leaves)
        s = self.settings(leaves, self.step(leaves, FINENESS) if step is None else step)
        source = source_of(self.cutter, leaves, self.colours)
        tree, origin, segments = _write_cells(s, source, leaves)
        if whole:
            cells = [source.cells[i] for i in origin]
            rng = np.random.default_rng(self.seed)
            DomainSearch(self.cutter.x, cells, tree, s, self.colours, rng, self.effort).run()
        segments["maps"] = file.write_maps(s, tree)
        return file.CloudCode(s, {name: (data, False) for name, data in segments.items()})


def _write_cells(
    s: file.CloudSettings, source: Source, leaves: int
) -> tuple[file.CloudTree, np.ndarray, dict[str, bytes]]:
    """Code all but the maps: the tree as the decoder sees it, the encoder's node of each of its nodes, the segments."""
    tree, origin, data = file.write_tree(s, (source.kids, source.share, source.mean), leaves)
    segments = {"tree": data}
    if s.coloured:
        segments["colours"] = file.write_colours(s, tree, source.colour[origin])
    target = np.array([source.cells[origin[i]].cov for i in tree.order])
    segments["shapes"] = file.write_shapes(s, tree, target)
    return tree, origin, segments


# ---- the whole


def encode_cloud(
    cloud: Any,
    *,
    colours: Any = None,
    metadata: dict[str, bytes] | None = None,
    quality: float | None = None,
    bytes: int | None = None,
    effort: int = EFFORT,
    seed: int = 0,
    callback: Callable[[str, float], None] | None = None,
) -> file.CloudCode:
    """Compress a cloud to a collage of itself.

    Args:
        cloud: ``[N, D]`` with D = 2 or 3, any scale; or a :class:`fractalkit.data.Cloud`, whose colours are taken too.
        colours: RGB in [0, 1] ``[N, 3]``, or None.
        metadata: kept in the file.
        quality: 1 to 100; 50, the default, takes about 500 ranges and 2,500 bytes, and 10 more twice as many.
        bytes: largest size of the file instead; the cloud's points may not suffice to use all of them.
        effort: 0 to 9; each step makes the search for domains about half as long again.
        seed: of the points that are drawn where there are many; it determines the result.
        callback: called with a label and the fraction of the work done.

    Raises:
        DataError: no points, a wrong shape, or values that are not finite.
        UsageError: an option out of range, or fewer bytes than any cloud takes.
    """
    if quality is not None and bytes is not None:
        raise UsageError("quality and bytes were given together; give one")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality: expected 1 to 100, got {quality}")
    if not 0 <= effort <= 9:
        raise UsageError(f"effort: expected 0 to 9, got {effort}")
    if bytes is not None and not (isinstance(bytes, int | float) and 1 <= bytes < 1 << 60):
        raise UsageError(f"bytes: expected a number from 1, got {bytes!r}")
    say = callback or (lambda word, share: None)
    coder = prepare(cloud, colours, seed, effort)
    if bytes is None:
        leaves = round(16 * 2 ** ((50 if quality is None else quality) / 10))
        say("cells", 0.1)
        code = coder.encode(min(leaves, syntax.MAX_LEAVES))
    else:
        code = _to_size(coder, int(bytes), say)
    say("done", 1.0)
    return file.CloudCode(code.settings, code.segments, dict(metadata or {}))


def prepare(cloud: Any, colours: Any, seed: int, effort: int = EFFORT) -> Coder:
    """Check a cloud, and bring it about its mean and into the unit."""
    if colours is None:
        colours = getattr(cloud, "colours", None)
    x = np.asarray(getattr(cloud, "points", cloud), dtype=np.float64)
    if x.ndim != 2 or x.shape[1] not in (2, 3) or not len(x):
        raise DataError(f"cloud: expected points [N, 2] or [N, 3], got {list(x.shape)}")
    if not np.isfinite(x).all() or float(np.abs(x).max()) > 1e150:
        raise DataError("cloud: holds coordinates that are not finite, or beyond 1e150; drop them first")
    rgb = None if colours is None else np.asarray(colours, dtype=np.float64)
    if rgb is not None and (rgb.shape != (len(x), 3) or not np.isfinite(rgb).all()):
        raise DataError(f"colours: expected finite numbers of shape [{len(x)}, 3], got {list(rgb.shape)}")
    n, dim = x.shape
    if n > LIMIT:
        pick = np.random.default_rng(seed).choice(n, LIMIT, replace=False)
        x, rgb = x[pick], None if rgb is None else rgb[pick]
    centre = x.mean(axis=0)
    size = float(np.linalg.norm(x.max(axis=0) - x.min(axis=0))) or float(np.abs(centre).max()) * 1e-6 or 1.0
    exponent = max(-1000, min(1000, math.ceil(math.log2(size))))
    unit = math.ldexp(1.0, exponent - file.ORIGIN_BITS)
    limit = (1 << 63) - 1
    origin = tuple(max(-limit, min(limit, round(float(v) / unit))) for v in centre)
    y = np.zeros((len(x), 3))
    y[:, :dim] = (x - np.array(origin) * unit) / math.ldexp(1.0, exponent)
    luma = None if rgb is None else file.to_luma(rgb.clip(0, 1))
    return Coder(Cutter(y, dim == 2), luma, dim, exponent, origin, min(n, (1 << 32) - 1), seed, effort)


def _to_size(coder: Coder, limit: int, say: Callable[[str, float], None]) -> file.CloudCode:
    """The largest code of at most so many bytes, within a few per cent."""
    leaves = max(1, min(syntax.MAX_LEAVES, limit // 5))
    for _ in range(3):  # about how many leaves, with maps of some bits each
        say("cells", 0.1)
        code = coder.encode(leaves, whole=False)
        size = len(code.to_bytes()) + code.settings.leaves * MAP_BITS / 8
        leaves = max(1, min(syntax.MAX_LEAVES, int(code.settings.leaves * limit / size)))
    step = coder.step(leaves, FINENESS)
    while coder.cutter.grow(leaves) < leaves and step < 200:  # too few cells for so many bytes: finer steps
        step += 4
        size = len(coder.encode(leaves, step, whole=False).to_bytes()) + coder.cutter.grow(leaves) * MAP_BITS / 8
        if size > limit:
            break
    return _fitted(coder, coder.cutter.grow(leaves), step, limit, say)


def _fitted(coder: Coder, leaves: int, step: int, limit: int, say: Callable[[str, float], None]) -> file.CloudCode:
    """The largest code of at most so many bytes at a step, of about so many leaves."""
    best: file.CloudCode | None = None
    low, high = 0, syntax.MAX_LEAVES + 1
    for n in range(TRIES):
        say("maps", 0.2 + 0.8 * n / TRIES)
        code = coder.encode(leaves, step)
        got, size = code.settings.leaves, len(code.to_bytes())
        if size <= limit:
            best, low = code, max(low, got)
            if size > 0.98 * limit or got < leaves:
                return code
        else:
            high = min(high, got)
        if high - low <= 1:
            break
        leaves = int(got + (0.99 * limit - size) / (size / got))
        leaves = max(low + 1, min(high - 1, leaves))
    if best is None:
        best = coder.encode(1)
        if len(best.to_bytes()) > limit:
            raise UsageError(f"bytes: a file of this cloud has at least {len(best.to_bytes())} bytes, got {limit}")
    return best
