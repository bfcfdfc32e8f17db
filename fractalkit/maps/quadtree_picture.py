"""Pictures of quadtree codes: decoding at any size, iterates from any start, and mixtures of two codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fractalkit.codes.quadtree import QuadtreeCode, QuadtreePlane, Tile
from fractalkit.core import Window, fixed_point
from fractalkit.errors import UsageError
from fractalkit.maps import quadtree_filter as refinement
from fractalkit.maps.quadtree_plane import plane_map
from fractalkit.raster.area import resample
from fractalkit.raster.colour import doubled, halved, to_planes, to_rgb
from fractalkit.raster.part import Part

Box = tuple[int, int, int, int]  # top, left, bottom, right in samples of a plane
ENLARGED = 6  # strength of the deblocking filter in enlargements
DEBLOCK_REACH = 8.0  # samples on either side of a border
MAX_WHOLE = 1 << 24  # samples of a tile that is solved whole
MAX_OUTPUT = 1 << 29  # samples of a picture in memory


def plane_at(
    plane: QuadtreePlane, scale: int = 1, *, deblock: int = 0, box: Box | None = None, filtered: str = ""
) -> np.ndarray:
    """The fixed point of a plane, enlarged by ``scale``, a power of two.

    Args:
        deblock: strength of the filter, 0 for none.
        box: (top, left, bottom, right) of a part, in samples of scale 1; None for the whole plane.
        filtered: "luma" or "chroma" to show it through the filter of such planes, at scale 1.

    Returns:
        ``[(bottom - top) * scale, (right - left) * scale]`` float32.
    """
    y0, x0, y1, x1 = box or (0, 0, plane.height, plane.width)
    # a margin for the filters, in whole cells
    margin = (2 * int(DEBLOCK_REACH) + 4 if deblock else 0) + (refinement.REACH if filtered else 0)
    top, left = max(0, y0 - margin) // 4 * 4, max(0, x0 - margin) // 4 * 4
    bottom, right = min(plane.level.shape[0], y1 + margin + 3), min(plane.level.shape[1], x1 + margin + 3)
    window = (left * scale, top * scale, right * scale, bottom * scale)
    part = np.ascontiguousarray(fixed_point(plane_map(plane, scale), window)[0].numpy())
    if deblock:
        smooth(part, plane, scale, deblock, (top, left, bottom, right))
    if filtered and scale == 1:
        shown = part[: min(bottom, plane.height) - top, : min(right, plane.width) - left]
        refinement.refine(shown, plane.step, filtered == "chroma")
    return part[(y0 - top) * scale : (y1 - top) * scale, (x0 - left) * scale : (x1 - left) * scale]


def smooth(part: np.ndarray, plane: QuadtreePlane, scale: int, strength: int, box: Box) -> None:
    """Deblock a part of a plane's fixed point, in place."""
    from fractalkit.maps import quadtree_cpu as cpu

    top, left, bottom, right = box
    height, width = min(bottom, plane.height) - top, min(right, plane.width) - left
    logs = plane.logs[top // 4 : (bottom + 3) // 4, left // 4 : (right + 3) // 4]
    # the largest step between leaves that the filter removes entirely
    cpu.deblock(part, logs, scale, 0.05 * strength * plane.step, DEBLOCK_REACH, height, width, top // 4, left // 4)
    if scale > 1:
        # a step could lie anywhere between two samples, so it is spread over one sample
        cpu.deblock(part, logs, scale, np.inf, 0.5, height, width, top // 4, left // 4)


def decode(
    code: QuadtreeCode, height: int | None = None, width: int | None = None, window: Window | None = None,
    deblock: bool | None = None,
) -> np.ndarray:  # fmt: skip
    """The picture, ``[H, W]`` or ``[H, W, C]`` uint8 or uint16, at any size.

    Args:
        height, width: of the whole picture, in pixels; one alone keeps the proportions; neither, the stored size.
        window: (left, top, right, bottom) in these pixels: the part that is decoded, at full detail.
        deblock: filter the borders of leaves, and what else the code says; None as the code says; False shows the
            fixed point itself.

    Raises:
        UsageError: a size or a window out of range, or a result too large for memory.
    """
    return decode_part(code, Part.of((code.width, code.height), height, width, window), deblock)


def decode_part(code: QuadtreeCode, part: Part, deblock: bool | None = None) -> np.ndarray:
    """:func:`decode` of a part whose corners need not be pixels."""
    height, width, scale = part.height, part.width, _scale(code, part)
    if height * width * code.channels > MAX_OUTPUT:
        gib = height * width * code.channels * code.depth / 8 / 2**30
        raise UsageError(f"size {width} x {height} would take {gib:.1f} GiB and more; decode windows of it instead")
    strength = code.settings.deblock if deblock is None else (max(1, code.settings.deblock) if deblock else 0)
    if scale > 1 and deblock is None:
        strength = max(strength, ENLARGED)  # enlargement makes steps visible
    left, top, right, bottom = part.outer((code.width, code.height), 2)
    shape = ((bottom - top) * scale, (right - left) * scale)
    tail = () if code.channels == 1 else (code.channels,)
    out = np.zeros(shape + tail, np.uint8 if code.depth == 8 else np.uint16)
    filtered = (False, False) if deblock is False else code.settings.filtered
    for index, t in enumerate(code.tiles):
        y0, y1 = max(top, t.y), min(bottom, t.y + t.height)
        x0, x1 = max(left, t.x), min(right, t.x + t.width)
        if y0 >= y1 or x0 >= x1:
            continue
        made = _tile(code, index, scale, strength, filtered, (y0 - t.y, x0 - t.x, y1 - t.y, x1 - t.x))
        out[(y0 - top) * scale : (y1 - top) * scale, (x0 - left) * scale : (x1 - left) * scale] = made
    box = tuple((v - corner) * scale for v, corner in zip(part.box, (left, top, left, top), strict=True))
    if box == (0, 0, shape[1], shape[0]) and shape == (height, width):
        return out
    return resample(out, height, width, box)  # type: ignore[arg-type]


def _scale(code: QuadtreeCode, part: Part) -> int:
    """The scale at which a part is decoded; planes with copies are solved whole, so memory bounds theirs."""
    scale = part.scale
    side = min(code.settings.tile, max(code.height, code.width))
    while code.settings.copies and scale > 1 and (side * scale) ** 2 > MAX_WHOLE:
        scale //= 2
    return scale


def _tile(
    code: QuadtreeCode, index: int, scale: int, deblock: int, filtered: tuple[bool, bool], box: Box
) -> np.ndarray:
    """A part of a tile, ``box`` in its own pixels."""
    made = []
    y0, x0, y1, x1 = box
    for i, p in enumerate(code.planes(index)):
        by = ("chroma" if filtered[1] else "") if i in (1, 2) else "luma" if filtered[0] else ""
        if i in (1, 2) and code.settings.half:
            # two samples more than are shown, for the interpolation
            a, b = max(0, y0 // 2 - 2), max(0, x0 // 2 - 2)
            c, d = min(p.height, (y1 + 1) // 2 + 2), min(p.width, (x1 + 1) // 2 + 2)
            x = plane_at(p, scale, deblock=deblock, box=(a, b, c, d), filtered=by)
            x = doubled(x, 2 * x.shape[0], 2 * x.shape[1])
            dy, dx = (y0 - 2 * a) * scale, (x0 - 2 * b) * scale
            made.append(x[dy : dy + (y1 - y0) * scale, dx : dx + (x1 - x0) * scale])
        else:
            made.append(plane_at(p, scale, deblock=deblock, box=box, filtered=by))
    return to_rgb(made, code.depth)


def trace(code: QuadtreeCode, start: np.ndarray | None = None, steps: int = 12) -> Iterator[np.ndarray]:
    """Yield the iterates T^n x, n = 0 … ``steps``, from any ``start`` ``[H, W(, C)]``; None starts from grey."""
    shape = (code.height, code.width) if code.channels == 1 else (code.height, code.width, code.channels)
    if start is not None and start.shape != shape:
        raise UsageError(f"start: expected an array of shape {shape}, got {start.shape}")
    maps = [[plane_map(p) for p in code.planes(index)] for index in range(len(code.tiles))]
    states = []
    for t, tile in zip(code.tiles, maps, strict=True):
        if start is None:
            states.append([np.zeros(m.shape, np.float32) for m in tile])
        else:
            part = start[t.y : t.y + t.height, t.x : t.x + t.width]
            planes = to_planes(part, code.depth, code.settings.half)
            states.append([_padded(v, m.shape) for v, m in zip(planes, tile, strict=True)])
    for n in range(steps + 1):
        if n:
            states = [
                [m.fast_step(x) for m, x in zip(tile, xs, strict=True)] for tile, xs in zip(maps, states, strict=True)
            ]
        out = np.zeros(shape, np.uint8 if code.depth == 8 else np.uint16)
        for t, tile, xs in zip(code.tiles, maps, states, strict=True):
            shown = [x[: m.plane.height, : m.plane.width] for x, m in zip(xs, tile, strict=True)]
            out[t.y : t.y + t.height, t.x : t.x + t.width] = _shown(shown, code, t)
        yield out


def _padded(v: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    rest = [(0, n - m) for n, m in zip(shape, v.shape, strict=True)]
    return np.pad(v, rest, mode="edge").astype(np.float32)


def _shown(planes: list[np.ndarray], code: QuadtreeCode, tile: Tile) -> np.ndarray:
    """Samples of a tile from its planes."""
    half = code.settings.half
    full = [doubled(x, tile.height, tile.width) if half and i in (1, 2) else x for i, x in enumerate(planes)]
    return to_rgb(full, code.depth)


def mix(a: QuadtreeCode, b: QuadtreeCode, weight: float | np.ndarray = 0.5, *, steps: int = 24) -> np.ndarray:
    """The fixed point of (1 - w) T_a + w T_b, two pictures mixed by mixing their maps: ``[H, W(, C)]``.

    It is not the mean of the two fixed points, as the domains of either map show the mixed picture. The mixture
    contracts where both maps do.

    Args:
        weight: w, one number or ``[H, W]`` in [0, 1], on luma's grid.

    Raises:
        UsageError: codes of different size or colour, or a weight out of range.
    """
    if (a.height, a.width, a.channels, a.depth) != (b.height, b.width, b.channels, b.depth):
        raise UsageError("mix: the two codes must have one size, one number of channels and one depth")
    if (a.settings.half, a.settings.tile) != (b.settings.half, b.settings.tile):
        raise UsageError("mix: both codes must have chroma at the same resolution")
    field = np.broadcast_to(np.asarray(weight, np.float64), (a.height, a.width))
    if not ((field >= 0) & (field <= 1)).all():
        raise UsageError("mix: weights must lie between 0 and 1")
    shape = (a.height, a.width) if a.channels == 1 else (a.height, a.width, a.channels)
    out = np.zeros(shape, np.uint8 if a.depth == 8 else np.uint16)
    for index, t in enumerate(a.tiles):
        w = field[t.y : t.y + t.height, t.x : t.x + t.width]
        shown = []
        for i, (p, q) in enumerate(zip(a.planes(index), b.planes(index), strict=True)):
            x = _mixed(p, q, halved(w) if i in (1, 2) and a.settings.half else w, steps)
            shown.append(x[: p.height, : p.width])
        out[t.y : t.y + t.height, t.x : t.x + t.width] = _shown(shown, a, t)
    return out


def _mixed(p: QuadtreePlane, q: QuadtreePlane, weight: np.ndarray, steps: int) -> np.ndarray:
    """The fixed point of two planes' mixed maps, after ``steps`` steps from zero."""
    shape = tuple(max(m, n) for m, n in zip(p.level.shape, q.level.shape, strict=True))
    w = _padded(weight, shape)
    maps = plane_map(p), plane_map(q)
    x = np.zeros(shape, np.float32)
    for _ in range(steps):
        new = [_padded(m.fast_step(np.ascontiguousarray(x[: m.shape[0], : m.shape[1]])), shape) for m in maps]
        x = (1 - w) * new[0] + w * new[1]
    return x
