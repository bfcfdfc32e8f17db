"""Segments of the quadtree codec: planes to bytes and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fractalkit.codec import quadtree_syntax as syntax
from fractalkit.codec.entropy import DECODE, ENCODE, coder, finish
from fractalkit.codec.priors import Models, Priors
from fractalkit.codes.quadtree import QuadtreePlane, Settings, Tile, plane_steps

QUADTREE = Priors(
    "priors.npz",
    {
        "tree": (syntax.TREE_CONTEXTS, syntax.TREE_SETS),
        "chroma tree": (syntax.TREE_CONTEXTS, syntax.TREE_SETS),
        "cosines": (syntax.COSINE_CONTEXTS, syntax.COSINE_SETS),
        "chroma cosines": (syntax.COSINE_CONTEXTS, syntax.COSINE_SETS),
    },
)
_NONE = np.zeros((0, 0), np.uint8)


def _order(n: int) -> tuple[list[int], list[int]]:
    """Indices of the planes in the segment of luma (and alpha), and in that of chroma."""
    return ([0] if n in (1, 3) else [0, 3]), ([1, 2] if n >= 3 else [])


def _guide(raster: np.ndarray, shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
    """A raster over the cells of luma, resampled to the cells of chroma."""
    if raster.shape == like.shape:
        return raster
    out = raster[::2, ::2]
    rows, columns = max(0, shape[0] - out.shape[0]), max(0, shape[1] - out.shape[1])
    return np.ascontiguousarray(np.pad(out, ((0, rows), (0, columns)), mode="edge")[: shape[0], : shape[1]])


def _code(
    state: Any, data: np.ndarray, planes: list[QuadtreePlane], which: int, means: list[np.ndarray], top: int,
    bottom: int, start: Callable[[str], Models],
) -> None:  # fmt: skip
    """Code one of the three segments; the first one fills ``means``, and the others use them."""
    luma, chroma = _order(len(planes))
    if which == 0:
        sets = {False: start("tree"), True: start("chroma tree")}
        for i, p in enumerate(planes):
            guide = _NONE
            if i in chroma:
                guide = planes[1].logs if i == 2 else _guide(planes[0].logs, p.logs.shape, p.logs)
            syntax.code_tree(
                state, data, *sets[i in chroma], p.logs, p.level, means[i], guide, p.height, p.width, top, bottom
            )
        return
    set_ = start("cosines" if which == 1 else "chroma cosines")
    busy = _NONE
    for i in luma if which == 1 else chroma:
        p = planes[i]
        busy = syntax.code_cosines(
            state,
            data,
            *set_,
            p.logs,
            p.level,
            p.maps,
            means[i],
            busy,
            p.height,
            p.width,
            top,
            int(i in (2, 3)),
            syntax.COPIES if p.copies else syntax.DIRECTED if p.directed else syntax.MAPS,
        )


def write_planes(
    planes: list[QuadtreePlane], top: int, bottom: int, start: Callable[[str], Models] = QUADTREE.learned
) -> list[bytes]:
    """The three segments of a tile; ``start`` returns the initial models by name."""
    means = [np.zeros(p.logs.shape, np.int64) for p in planes]
    out = []
    for which in range(3):
        if which == 2 and len(planes) < 3:
            out.append(b"")
            continue
        room = 1024 + sum(p.level.size for p in planes)
        while True:
            state, data = coder(ENCODE, np.zeros(room, np.uint8))
            _code(state, data, planes, which, means, top, bottom, start)
            n = finish(state, data)
            if n >= 0:
                break
            room *= 4
        out.append(data[:n].tobytes())
    return out


def read_planes(settings: Settings, channels: int, tile: Tile, segments: Sequence[bytes]) -> list[QuadtreePlane]:
    """The planes of a tile from its three segments; any bytes give values in range, and what is missing is zero."""
    s = settings
    planes = [_empty(s, i, step, tile) for i, step in enumerate(plane_steps(s, channels))]
    means = [np.zeros(p.logs.shape, np.int64) for p in planes]
    for which in range(3):
        if which == 2 and len(planes) < 3:
            continue
        data = np.frombuffer(segments[which], np.uint8).copy()  # compiled code needs it writable
        state, data = coder(DECODE, data)
        _code(state, data, planes, which, means, s.top, s.bottom, QUADTREE.learned)
    return planes


def _empty(s: Settings, index: int, step: float, tile: Tile) -> QuadtreePlane:
    """Plane ``index`` of a tile, filled with zeros."""
    chroma = index in (1, 2)
    height, width = tile.height, tile.width
    if chroma and s.half:
        height, width = (height + 1) // 2, (width + 1) // 2
    big = 1 << max(5, s.top)
    h, w = -(-height // big) * big, -(-width // big) * big
    maps = np.zeros((h >> 2, w >> 2, 4) if s.maps[chroma] else (0, 0, 4), np.int32)
    low, middle, high = (v / 256 for v in s.shrink[3 * chroma : 3 * chroma + 3])
    logs, level = np.zeros((h >> 2, w >> 2), np.uint8), np.zeros((h, w), np.int32)
    copies, directed = (used and maps.size > 0 for used in (s.copies, s.directed))
    return QuadtreePlane(
        logs,
        level,
        maps,
        height,
        width,
        step,
        (low, middle, high),
        1 << s.grid,
        not s.plain and not directed,
        copies,
        directed,
    )
