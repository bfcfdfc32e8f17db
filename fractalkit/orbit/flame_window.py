"""Samples of a flame that all fall into a window of its picture, however small it is.

A sample of the chaos game is the end of a path: a start x, which is a sample too, and the maps applied to it since,
w = (i_1, ..., i_k), the latest first. Maps contract on average, so that where the path ends is decided by its latest
maps, and all starts that lead into a window with the same w are as good as each other. This makes a window's samples
from those of a larger window, by multilevel splitting (Kahn and Harris, 1951; Au and Beck, *Estimation of small failure
probabilities in high dimensions by subset simulation*, 2001), here with independent starts in place of a Markov chain:

1. Paths that end in the larger window are lengthened by their own history, until a start anywhere moves the end by a
   part of the window only. How far is found by the images of sixteen fixed points, so it depends on w alone.
2. Starts are drawn anew for each path; those that end in the window are independent samples of it, given w.
3. Those in the smaller window are counted, which is its share of the mass, and so many paths as before are drawn of
   them. If they are few, windows between the two come first.

Windows that one starts from are squares of half the size at a time, at positions that the window alone decides, so that
its samples depend on the seed and on nothing that was drawn before.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.codes.flame import Flame
from fractalkit.errors import DataError
from fractalkit.maps.variation_ops import MAX_DEPTH, PLOT
from fractalkit.orbit.flame import as_flam3, camera_of, colours_of
from fractalkit.orbit.flame_loop import FUSE, visible
from fractalkit.orbit.flame_ops import instructions

Box = tuple[float, float, float, float]
Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

_CHAINS, _STEPS, _BEFORE = 1024, 1152, 128  # of the orbit; starts are those after the first steps
_PATHS, _STARTS = 2048, 31
_LONGEST = 512  # steps of a path
_SPREAD = 0.5  # how far starts may move a path's end, as a share of the window
_FEW = 300  # samples in a smaller window, below which one between comes first
_KEPT = 96  # windows
_EACH = 256  # starts drawn at once


@dataclass
class Paths:
    """Paths: maps ``[P, L]`` and the states of their random numbers, how many count, the starts, the states for what is
    plotted, and whether they are too short to have their starts drawn anew."""

    maps: npt.NDArray[np.int16]
    seeds: npt.NDArray[np.uint64]
    lengths: Wholes
    tails: Wholes
    plot_seeds: npt.NDArray[np.uint64]
    stuck: npt.NDArray[np.bool_]

    def chosen(self, of: Wholes, tails: Wholes) -> Paths:
        """Some of the paths, with other starts."""
        return Paths(self.maps[of], self.seeds[of], self.lengths[of], tails, self.plot_seeds[of], self.stuck[of])

    def padded(self) -> Paths:
        """With room for the longest path."""
        room = ((0, 0), (0, _LONGEST - self.maps.shape[1]))
        return replace(self, maps=np.pad(self.maps, room), seeds=np.pad(self.seeds, room))

    def trimmed(self) -> Paths:
        """Without room."""
        n = int(self.lengths.max(initial=1))
        return replace(self, maps=self.maps[:, :n].copy(), seeds=self.seeds[:, :n].copy())


@dataclass
class Crowd:
    """Samples in a window: its box, its mass, paths, and the samples' places, paths, starts and weights."""

    box: Box
    mass: float
    paths: Paths | None = None
    u: Floats = field(default_factory=lambda: np.zeros(0))
    v: Floats = field(default_factory=lambda: np.zeros(0))
    of: Wholes = field(default_factory=lambda: np.zeros(0, np.int64))
    tails: Wholes = field(default_factory=lambda: np.zeros(0, np.int64))
    weights: Floats = field(default_factory=lambda: np.zeros(0))

    def within(self, box: Box) -> npt.NDArray[np.bool_]:
        """Which samples are in a box."""
        return np.asarray((self.u >= box[0]) & (self.v >= box[1]) & (self.u < box[2]) & (self.v < box[3]))

    @property
    def stuck(self) -> float:
        """Share of the samples whose path's start cannot be drawn anew."""
        return 0.0 if self.paths is None else float(self.paths.stuck.mean())


class FlameWindow:
    """Samples of windows of a flame's picture; boxes are in shares of the picture's width, y down.

    Args:
        flame: without layers.

    Raises:
        DataError: a flame without maps, or one whose orbit always escapes.
    """

    def __init__(self, flame: Flame, seed: int = 0) -> None:
        from fractalkit.orbit import flame_machine

        flame = flame.expanded() if flame.symmetry else flame
        self.execute = flame_machine.execute
        across = flame.size[0] * flame.oversample
        self.view = camera_of(flame, 0) / across
        self.flame = flame = as_flam3(flame)
        self.colours = colours_of(flame)
        self.told = instructions(flame)
        self.matrix = flame.matrix()
        self.alike = bool((self.matrix == self.matrix[-1]).all())
        self.seed = seed
        follows = self.matrix[:-1]
        self.follows = np.ascontiguousarray(follows / np.maximum(follows.max(0), 1e-300))
        self.fresh = np.cumsum(self.matrix[-1]) if self.alike else np.zeros(0)
        if len(self.fresh):
            self.fresh[-1] = 2.0
        self.table = self.told.registers(_EACH)
        self._record()
        self._kept: OrderedDict[tuple[int, int, int], Crowd] = OrderedDict()

    def _code(self) -> tuple[object, ...]:
        return self.execute, self.told.code, self.told.scalars, self.told.starts, self.table.ravel()

    def _record(self) -> None:
        """Play the orbit and plot all its points."""
        from fractalkit.orbit import flame_paths

        compiled: Any = flame_paths
        n = _CHAINS * _STEPS
        state = np.random.SeedSequence([self.seed, 1]).generate_state(_CHAINS, np.uint64)
        self.points, self.parents = np.zeros((4, n)), np.zeros(n, np.int64)
        self.maps, self.seeds = np.zeros(n, np.int16), np.zeros(n, np.uint64)
        cumulative = np.cumsum(self.matrix, 1)
        cumulative[:, -1] = 2.0
        table = self.told.registers(_CHAINS)
        compiled.record(
            self.execute, self.told.code, self.told.scalars, self.told.starts, table.ravel(), table, self.alike,
            cumulative, state, FUSE, _STEPS, self.points, self.maps, self.seeds, self.parents,
        )  # fmt: skip
        self.low = _CHAINS * _BEFORE
        weights = np.array([visible(x.opacity) for x in self.flame.xforms])
        self.weights = np.where(self.maps >= 0, weights[self.maps], 0.0)
        self.weights[: self.low] = 0.0
        self.plot_seeds = np.random.SeedSequence([self.seed, 2]).generate_state(n, np.uint64).astype(np.uint64)
        u, v = np.full(n, np.nan), np.full(n, np.nan)
        plot = int(self.told.starts[-1])
        turns = np.zeros(MAX_DEPTH, np.int64)
        flat = table.ravel()
        for at in range(self.low, n, _CHAINS):
            part = slice(at, at + _CHAINS)
            table[:4] = self.points[:, part]
            state = self.plot_seeds[part].copy()
            self.execute(self.told.code, self.told.scalars, flat, _CHAINS, turns, state, 0, _CHAINS, plot)
            x, y = table[PLOT], table[PLOT + 1]
            hidden = table[PLOT + 3] != 0
            k = self.view
            u[part] = np.where(hidden, np.nan, k[0] * x + k[1] * y + k[2])
            v[part] = np.where(hidden, np.nan, k[3] * x + k[4] * y + k[5])
        whole = Crowd((-math.inf, -math.inf, math.inf, math.inf), 1.0, None, u, v)
        self.whole, self.total = whole, n - self.low
        if not (self.weights > 0).any():
            raise DataError(f"flame {self.flame.name!r}: its orbit escapes, or no map is visible")
        self.references = np.random.default_rng([self.seed, 3]).choice(np.flatnonzero(self.weights > 0), 16)

    # ---- crowds

    def crowd(self, box: Box) -> Crowd:
        """Samples of a box."""
        side = max(box[2] - box[0], box[3] - box[1])
        level = math.floor(-math.log2(2 * side))
        if level < 1:
            return self._first(box, np.random.default_rng([self.seed, 4]))
        half = 2.0**-level / 2
        square = self._square(level, math.floor(box[0] / half), math.floor(box[1] / half))
        return self._towards(square, box, np.random.default_rng([self.seed, 5, level]))

    def _square(self, level: int, i: int, j: int) -> Crowd:
        """Samples of the square of side 2^-level at (i, j) times half of it."""
        key = (level, i, j)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        side = 2.0**-level
        box = (i * side / 2, j * side / 2, i * side / 2 + side, j * side / 2 + side)
        rng = np.random.default_rng([self.seed, level, i + (1 << 48), j + (1 << 48)])
        inside = self.whole.within(box) & (self.weights > 0)
        if level < 2 or np.count_nonzero(inside) > 4 * _PATHS:
            made = self._first(box, rng)
        else:
            made = self._towards(self._square(level - 1, i // 2, j // 2), box, rng)
        self._kept[key] = made
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return made

    def _first(self, box: Box, rng: np.random.Generator) -> Crowd:
        """Samples of a box among those of the orbit."""
        inside = np.flatnonzero(self.whole.within(box) & (self.weights > 0))
        mass = float(self.weights[inside].sum()) / self.total
        if not len(inside):
            return Crowd(box, 0.0)
        r = inside[_systematic(self.weights[inside], _PATHS, rng)]
        n = len(r)
        paths = Paths(
            self.maps[r][:, None], self.seeds[r][:, None], np.ones(n, np.int64), self.parents[r], self.plot_seeds[r],
            np.zeros(n, bool),
        )  # fmt: skip
        return self._settled(paths, box, mass, rng)

    def _towards(self, crowd: Crowd, box: Box, rng: np.random.Generator) -> Crowd:
        """Samples of a box within that of a crowd, by boxes between them where few are in it."""
        for _ in range(64):
            if crowd.paths is None:
                return Crowd(box, 0.0)
            inside = crowd.within(box)
            if np.count_nonzero(inside) >= _FEW:
                return self._narrowed(crowd, box, inside, rng)
            # how far each sample is from the box, as a share of the way to the crowd's
            o, b = np.array(crowd.box), np.array(box)
            way = np.maximum(np.abs(b - o), 1e-300)
            far = np.maximum.reduce([
                (b[0] - crowd.u) / way[0], (b[1] - crowd.v) / way[1], (crowd.u - b[2]) / way[2],
                (crowd.v - b[3]) / way[3], np.zeros(len(crowd.u)),
            ])  # fmt: skip
            share = float(np.sort(far)[len(far) // 4])
            if share > 0.95:
                share = 0.95
            between = tuple(float(x) for x in b + (o - b) * share)
            near = crowd.within(between)  # type: ignore[arg-type]
            if not near.any():
                return Crowd(box, 0.0)
            if np.count_nonzero(near) < 32 and np.count_nonzero(inside) == 0:
                return Crowd(box, 0.0)
            crowd = self._narrowed(crowd, between, near, rng)  # type: ignore[arg-type]
        inside = crowd.within(box)
        return self._narrowed(crowd, box, inside, rng) if inside.any() else Crowd(box, 0.0)

    def _narrowed(self, crowd: Crowd, box: Box, inside: npt.NDArray[np.bool_], rng: np.random.Generator) -> Crowd:
        assert crowd.paths is not None
        which = np.flatnonzero(inside)
        weights = crowd.weights[which]
        of = which[_systematic(weights, _PATHS, rng)]
        paths = crowd.paths.chosen(crowd.of[of], crowd.tails[of])
        return self._settled(paths, box, crowd.mass * float(weights.sum()), rng)

    def _settled(self, paths: Paths, box: Box, mass: float, rng: np.random.Generator) -> Crowd:
        """Lengthen paths as the box asks for, and draw starts anew."""
        from fractalkit.orbit import flame_paths

        compiled: Any = flame_paths
        code, table, paths = self._code(), self.table, paths.padded()
        side = min(box[2] - box[0], box[3] - box[1])
        arrays = (paths.maps, paths.seeds, paths.lengths, paths.tails, paths.plot_seeds)
        compiled.extend(
            *code, table, self.points, self.maps, self.seeds, self.parents, self.view, self.references,
            min(side, 1.0) * _SPREAD, *arrays, paths.stuck,
        )  # fmt: skip
        shape = (len(paths.lengths), _STARTS + 1)
        drawn = rng.integers(self.low, len(self.maps), shape)
        u, v = np.empty(shape), np.empty(shape)
        compiled.redraw(
            *code, table, self.points, self.maps, self.follows, self.view, *arrays, paths.stuck, drawn,
            rng.random(shape), np.array(box), u, v,
        )  # fmt: skip
        good = np.isfinite(u)
        good[:, -1] &= ~good[:, :-1].any(1)  # a path's own start counts if no other does
        p, k = np.nonzero(good)
        if not len(p):  # all were on the box's edge, and fell to the other side by rounding
            return Crowd(box, 0.0)
        each = good.sum(1)
        weights = 1.0 / each[p] / max(1, np.count_nonzero(each))
        return Crowd(box, mass, paths.trimmed(), u[p, k], v[p, k], p, drawn[p, k], weights)

    # ---- what is asked for

    def mass(self, box: Box) -> float:
        """The share of the flame's samples in a box, by the crowd of the square about it."""
        side = max(box[2] - box[0], box[3] - box[1])
        level = math.floor(-math.log2(2 * side))
        if level < 1:
            return float(self.weights[self.whole.within(box)].sum()) / self.total
        half = 2.0**-level / 2
        crowd = self._square(level, math.floor(box[0] / half), math.floor(box[1] / half))
        return crowd.mass * float(crowd.weights[crowd.within(box)].sum())

    def expose(self, box: Box, rows: int, columns: int, samples: int) -> tuple[npt.NDArray[np.float32], float, float]:
        """A histogram of a box.

        Args:
            samples: how many, as far as starts that lead there are found.

        Returns:
            float32 ``[rows, columns, 4]``, of weights 1 on average; how many samples it has; the box's mass.
        """
        from fractalkit.orbit import flame_shower

        compiled: Any = flame_shower
        crowd = self.crowd(box)
        picture = np.zeros((rows, columns, 4), np.float32)
        if crowd.paths is None:
            return picture, 0.0, 0.0
        paths = crowd.paths
        wanted = max(1, round(samples / len(paths.lengths)))
        table, scale = self.colours
        seed = np.random.SeedSequence([self.seed, 6, rows, columns]).generate_state(1, np.uint64)[0]
        got, self.maps_a_sample = compiled.shower(
            *self._code(), self.table, self.points, self.maps, self.follows, self.fresh, self.view, paths.maps,
            paths.seeds, paths.lengths, paths.tails, paths.plot_seeds, paths.stuck, self.low, _EACH, wanted, seed,
            np.array(box), table.ravel(), scale, rows, columns, picture.ravel(),
        )  # fmt: skip
        picture *= np.float32(got / len(paths.lengths))
        return picture, got, crowd.mass


def _systematic(weights: Floats, n: int, rng: np.random.Generator) -> Wholes:
    """n indices, each as often as its weight asks for, up to less than one."""
    edges = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(edges, (np.arange(n) + rng.random()) / n), len(weights) - 1)
