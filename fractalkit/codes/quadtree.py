"""A picture as a quadtree whose leaves hold cosines, maps or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from fractalkit.codes.fk_file import CodedElsewhere
from fractalkit.errors import DataError, UsageError

STEPS_PER_OCTAVE = 128
FINEST = 1 / 16  # the quantiser's finest step, in sample values
# a plane's step relative to luma's: an error of one in Cb or Cr is 3.26 or 2.48 squares in R, G and B, in luma 3
CHROMA_STEPS = ((3 / 3.258) ** 0.5, (3 / 2.475) ** 0.5)
GRID_CONTRAST = 0.12  # contrasts are multiples of this, at most 0.96
_SLOPES = (2, 5, 9, 13, 17, 21, 26, 32)
_FAN = (*(-s for s in reversed(_SLOPES)), 0, *_SLOPES)
# directions of leaves, in a half turn from down left to up right: whether lines start from the left border and not
# from above, and their slope in 1/32
DIRECTIONS = tuple((1, s) for s in reversed(_FAN)) + tuple((0, s) for s in _FAN[1:])


@dataclass(frozen=True)
class QuadtreePlane:
    """One plane of one tile, arrays as in :mod:`fractalkit.codec.quadtree_syntax`.

    Attributes:
        logs: ``[h, w]`` uint8, log2 of the side of the leaf over each cell of 4 x 4; 0 where the picture has ended.
        level: ``[4 h, 4 w]`` int32, quantised cosines.
        maps: ``[h, w, 4]`` int32, contrast, isometry and offset of the domain, or ``[0, 0, 4]``.
        height, width: of the samples that count.
        step: of the quantiser, in sample values.
        shrink: how far reconstructed magnitudes 1, 2 and more lie below their levels, in steps.
        grid: distance of domains, in samples.
        slopes: maps leave out the slopes of their domains as well as the mean.
        copies: maps are copies at scale 1: contrast 1, no isometry, and the offset counts samples.
        directed: maps are directions: 1 + an index of ``DIRECTIONS``; see :mod:`fractalkit.maps.quadtree_directions`.
    """

    logs: np.ndarray
    level: np.ndarray
    maps: np.ndarray
    height: int
    width: int
    step: float
    shrink: tuple[float, float, float]
    grid: int
    slopes: bool = True
    copies: bool = False
    directed: bool = False


@dataclass(frozen=True)
class Settings:
    """Settings of a picture, beside its planes.

    Attributes:
        step: index of the quantiser's step, ``FINEST * 2^(index / 128)``.
        half: chroma has half the resolution.
        deblock: strength of the filter over the borders of leaves, 0 off.
        top, bottom: log2 of the largest and of the smallest leaf.
        grid: log2 of the distance of domains, in samples.
        shrink: for luma, then for chroma, three numbers in 1/256 of a step.
        tile: side of a tile, in samples.
        maps: luma leaves may have maps; chroma leaves may.
        plain: fixed ranges of one size (the plain PIFS of the paper).
        copies: maps are copies at scale 1 of blocks that come before.
        filtered: luma is shown through the filter of :mod:`fractalkit.maps.quadtree_filter`; chroma is.
        directed: maps are directions in which leaves continue what is at their borders.
    """

    step: int
    half: bool = True
    deblock: int = 0
    top: int = 5
    bottom: int = 2
    grid: int = 2
    shrink: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
    tile: int = 1024
    maps: tuple[bool, bool] = (True, False)
    plain: bool = False
    copies: bool = False
    filtered: tuple[bool, bool] = (False, False)
    directed: bool = False

    @property
    def size(self) -> float:
        """The quantiser's step for luma, in sample values."""
        return step_size(self.step)


def step_size(index: float) -> float:
    """The quantiser's step of an index, in sample values."""
    return float(FINEST * 2 ** (index / STEPS_PER_OCTAVE))


def step_index(step: float) -> int:
    """Index of the step nearest to ``step`` sample values.

    >>> step_index(1.0)
    512
    """
    import math

    return min(4095, max(0, round(STEPS_PER_OCTAVE * math.log2(max(step, 1e-9) / FINEST))))


@dataclass(frozen=True)
class Tile:
    """Where a tile lies in the picture, in pixels."""

    y: int
    x: int
    height: int
    width: int


@dataclass(frozen=True)
class QuadtreeCode(CodedElsewhere):
    """A whole picture, in tiles.

    The map of a plane is :class:`fractalkit.maps.quadtree.QuadtreeMap`; files are written and read by
    :mod:`fractalkit.codec.quadtree_file`.

    Attributes:
        height, width, channels, depth: of the picture.
        settings: see :class:`Settings`.
        tile_planes: for each tile its planes: luma, then Cb and Cr, then alpha, as far as the picture has them. A
            sequence that decodes a file's tiles on demand will do.
        metadata: "icc" and "exif", as bytes.
    """

    codec: ClassVar[str] = "fractalkit.codec.quadtree_file"

    height: int
    width: int
    channels: int
    depth: int
    settings: Settings
    tile_planes: Sequence[Sequence[QuadtreePlane]] = field(repr=False)
    metadata: dict[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.tile_planes) != len(self.tiles):
            raise DataError(f"quadtree: planes of {len(self.tile_planes)} tiles, expected {len(self.tiles)}")

    @property
    def tiles(self) -> list[Tile]:
        """All tiles, row by row, of about equal size."""
        return tiles(self.height, self.width, self.settings.tile)

    @property
    def steps(self) -> list[float]:
        """The quantiser's step of each plane."""
        return plane_steps(self.settings, self.channels)

    def planes(self, tile: int) -> Sequence[QuadtreePlane]:
        """The planes of a tile."""
        return self.tile_planes[tile]

    def summary(self) -> dict[str, Any]:
        """Plain facts: leaves by side and kind, bytes by part, step, and so on."""
        leaves: dict[str, int] = {}
        kinds = {"flat": 0, "cosines": 0, "map": 0, "map and cosines": 0}
        for i in range(len(self.tiles)):
            for plane in self.planes(i):
                for log in range(2, 7):
                    block = _blocks(plane, log)
                    if block is None:
                        continue
                    busy, mapped = block
                    leaves[str(1 << log)] = leaves.get(str(1 << log), 0) + len(busy)
                    for key, a, b in (
                        ("flat", False, False), ("cosines", True, False), ("map", False, True),
                        ("map and cosines", True, True),
                    ):  # fmt: skip
                        kinds[key] += int(((busy == a) & (mapped == b)).sum())
        n = len(self.tiles)
        parts = getattr(self.tile_planes, "sizes", (0, 0, 0))
        return {
            "step": round(self.settings.size, 4),
            "chroma": "none" if self.channels == 1 else "half" if self.settings.half else "full",
            "deblock": self.settings.deblock, "filtered": list(self.settings.filtered), "tiles": n, "leaves": leaves,
            "kinds": kinds,
            "bytes by part": {"trees and means": parts[0], "luma": parts[1], "chroma": parts[2]},
        }  # fmt: skip


def _blocks(plane: QuadtreePlane, log: int) -> tuple[np.ndarray, np.ndarray] | None:
    """For the leaves of one side: whether they have cosines other than the mean, and whether they have a map."""
    side = 1 << log
    cells = side >> 2
    if plane.level.shape[0] % side or plane.level.shape[1] % side:
        return None
    first = plane.logs[::cells, ::cells] == log
    if not first.any():
        return None
    h, w = first.shape
    energy = np.abs(plane.level).reshape(h, side, w, side).sum((1, 3))
    energy = energy - np.abs(plane.level[::side, ::side])
    busy = (energy > 0)[first]
    mapped = plane.maps[::cells, ::cells, 0][first] > 0 if plane.maps.size else np.zeros(len(busy), bool)
    return busy, mapped


def tiles(height: int, width: int, side: int) -> list[Tile]:
    """Tiles of at most ``side``, of about equal size and multiples of 64, row by row.

    >>> [(t.y, t.x, t.height, t.width) for t in tiles(100, 150, 128)]
    [(0, 0, 100, 128), (0, 128, 100, 22)]
    """
    if height < 1 or width < 1:
        raise UsageError(f"a picture of {width} x {height} pixels has nothing to code")
    out = []

    def cuts(n: int) -> list[tuple[int, int]]:
        count = -(-n // side)
        each = -(-n // count // 64) * 64
        return [(i, min(each, n - i)) for i in range(0, n, each)]

    for y, h in cuts(height):
        out += [Tile(y, x, h, w) for x, w in cuts(width)]
    return out


def plane_steps(settings: Settings, channels: int) -> list[float]:
    """Quantiser steps of the planes that a picture has (luma, Cb, Cr, alpha), in sample values."""
    s = settings.size
    chroma = [s * c * (0.5 if settings.half else 1.0) for c in CHROMA_STEPS] if channels >= 3 else []
    return [s, *chroma] + ([s] if channels == 4 else [])
