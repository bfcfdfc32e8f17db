"""Refinement of a planar code against the pixels of a picture of its attractor.

A pixel is lit if the set touches it. So a code is right if each point of its attractor is in a lit pixel and each lit
pixel has a point of the attractor in it: these are boxes, not centres, and a code that meets all of them has no
residual left, however coarse the pixels are. What is violated is moved to the nearest place that would do, by
Gauss-Newton steps through the orbit (:mod:`.refine`); what is met already resists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from fractalkit.codes.affine import AffineIFS
from fractalkit.fit.refine import _accumulate
from fractalkit.fit.search import clip_maps
from fractalkit.orbit.touched import Touched, flood

# mypy: disable-error-code="no-untyped-def"

CAP = 0.99  # upper bound of the maps' norms
LETTERS = 8  # of addresses, which start on the attractor
CHANGED = 8  # of them that a step changes
_MOMENTUM = 0.6
_CELLS = 1.5e6  # lit, of the finest grid
_ANCHORS, _PAIRS = 3000, 6000  # met and violated pixels that a step looks at, at most


@dataclass(frozen=True)
class Stage:
    """Steps of one kind: width of the robust weights in pixels, resistance of what is met as a share of what is not.

    A code's drawing lacks pixels that its attractor only grazes; on a coarse grid, or with wide weights, those would
    inflate the maps.
    """

    width: float
    fine: bool
    steps: int
    held: float
    rate: float


STAGES = (Stage(2.0, False, 12, 0.1, 1.3), Stage(0.3, True, 6, 0.3, 1.0), Stage(0.15, True, 12, 0.5, 0.5))
NEAR = 0.8  # agreement from which on wide weights, which inflate maps at first, are of no use
FINE = (Stage(0.3, True, 8, 0.3, 1.0), Stage(0.15, True, 14, 0.5, 0.5))
QUICK = (Stage(2.0, False, 10, 0.1, 1.3), Stage(0.3, True, 4, 0.3, 1.0))  # for coarse pixels


@dataclass(frozen=True)
class Drawn:
    """Pixels that a code touches, and the share of those touched or lit that are both."""

    touched: Touched
    iou: float


@dataclass
class RasterFit:
    """Maps ``[K, 3, 4]`` in units of the picture's longer side, the share of pixels that agree, and the least ratio of
    singular values that the maps had to have."""

    maps: np.ndarray
    iou: float
    isotropy: float = 0.0


class Raster:
    """A picture's lit pixels ``[H, W]`` (row 0 lowest), and steps of refinement towards them.

    A pixel is as long as ``unit``, or the longer side has length one. Codes are compared on a grid four to eight times
    as fine, of about so many lit ``cells``.
    """

    def __init__(
        self, lit: np.ndarray, *, unit: float | None = None, cells: float = _CELLS, seed: int = 0
    ) -> None:  # fmt: skip
        self.lit = np.ascontiguousarray(lit)
        self.unit = unit or 1 / max(lit.shape)
        self.nearest = _nearest(self.lit)
        self.fine = int(np.clip(round(np.sqrt(cells / max(lit.sum(), 1))), 4, 8))
        self.seed = seed

    def draw(self, maps: np.ndarray, factor: int) -> Drawn:
        """Find the pixels that the attractor touches, on a grid ``factor`` times as fine."""
        h, w = self.lit.shape
        index = np.full((h * factor, w * factor), -1, np.int32)
        fixed = np.linalg.solve(np.eye(2) - maps[:, :2, :2], maps[:, :2, 3][..., None])[..., 0]
        cell = np.full(2, self.unit / factor)
        most = 12 * int(self.lit.sum()) * factor**2 + 10_000  # a code that spreads far beyond the picture is no use
        points, parents, letters, outside = flood(maps[:, :2, [0, 1, 3]], fixed, np.zeros(2), cell, index, most)
        blocks = index.reshape(h, factor, w, factor).max(axis=(1, 3))  # any point of a block will do
        seen = Touched(points, parents, letters, blocks, outside)
        return Drawn(seen, float(((blocks >= 0) & self.lit).sum() / (((blocks >= 0) | self.lit).sum() + outside)))

    def step(self, maps: np.ndarray, drawn: Drawn, stage: Stage) -> np.ndarray:
        """The move ``[K, 2, 3]`` of one step."""
        index = drawn.touched.index
        seen = index >= 0
        rng = np.random.default_rng(self.seed)
        stray = _some(np.argwhere(seen & ~self.lit), _PAIRS, rng)
        bare = _some(np.argwhere(~seen & self.lit), _PAIRS, rng)
        met = _some(np.argwhere(seen & self.lit), _ANCHORS, rng)
        back = _nearest(seen)
        rows = np.concatenate([index[tuple(stray.T)], index[tuple(back[:, bare[:, 0], bare[:, 1]])]])
        boxes = np.concatenate([self.nearest[:, stray[:, 0], stray[:, 1]].T, bare])[:, ::-1]  # x, y
        everything = np.concatenate([rows, index[tuple(met.T)]])
        address, base = drawn.touched.addresses(LETTERS, everything)
        y = drawn.touched.points[everything]
        aims = np.zeros((len(y), 3))
        aims[:, :2] = y
        n = len(rows)
        aims[:n, :2] = np.clip(y[:n], boxes * self.unit, (boxes + 1) * self.unit)
        gap = np.linalg.norm(aims[:n, :2] - y[:n], axis=1) / self.unit
        pull = (1 + (gap / stage.width) ** 2) ** -2.0
        hold = stage.held * max(pull.sum(), 1.0) / max(len(met), 1)
        weight = np.concatenate([pull, np.full(len(met), hold)])
        start = np.pad(drawn.touched.points[base], ((0, 0), (0, 1)))
        each = np.arange(len(y))
        a, g = _accumulate(maps, 2, start, address, each, aims, weight, CHANGED)
        a[np.diag_indices_from(a)] += 1e-3 * np.diag(a) + 1e-12
        return np.asarray(np.linalg.solve(a, g)).reshape(len(maps), 2, 3)

    def refine(
        self, maps: np.ndarray, *, stages: tuple[Stage, ...] | None = None, isotropy: float = 0.0,
        callback: Callable[[np.ndarray, float], None] | None = None,
    ) -> RasterFit:  # fmt: skip
        """Refine maps ``[K, 3, 4]`` in stages, and return the best that was met.

        The stages are :data:`STAGES`, or :data:`FINE` for maps whose pixels agree already, unless they are given.

        The parameters converge long before the pixels agree, so no stage ends early. ``callback`` gets the maps and the
        share of pixels that agree, before each step.
        """
        now = maps.copy()
        clip_maps(now, 2, CAP, isotropy)
        fine = self.fine
        best = RasterFit(now.copy(), self.draw(now, fine).iou, isotropy)
        speed = np.zeros((len(maps), 2, 3))
        for stage in stages or (FINE if best.iou > NEAR else STAGES):
            factor = fine if stage.fine else 4
            for _ in range(stage.steps):
                drawn = self.draw(now, factor)
                if callback:
                    callback(now.copy(), drawn.iou)
                if factor == fine and drawn.iou > best.iou:
                    best = RasterFit(now.copy(), drawn.iou, isotropy)
                if not (drawn.touched.index >= 0).any():
                    return best
                speed = _MOMENTUM * speed + stage.rate * self.step(now, drawn, stage)
                now[:, :2, :2] += speed[:, :, :2]
                now[:, :2, 3] += speed[:, :, 2]
                clip_maps(now, 2, CAP, isotropy)
        last = self.draw(now, fine).iou
        return RasterFit(now, last, isotropy) if last > best.iou else best


def as_code(maps: np.ndarray) -> AffineIFS:
    """Maps ``[K, 3, 4]`` as a code of the plane."""
    a, t = maps[:, :2, :2], maps[:, :2, 3]
    return AffineIFS(torch.from_numpy(np.ascontiguousarray(a)), torch.from_numpy(np.ascontiguousarray(t)))


def _nearest(mask: np.ndarray) -> np.ndarray:
    """Row and column ``[2, H, W]`` of the nearest cell that is set."""
    found: np.ndarray = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return found


def _some(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else rows[rng.choice(len(rows), most, replace=False)]
