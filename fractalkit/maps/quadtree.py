"""The map of a quadtree code, and pictures of its fixed point at any size.

On each leaf R of the quadtree (a range block of B x B samples) the map is

    (T x)_R = E_R + s_R Q iso_R(pool x_{D_R}),        E_R = sum_uv c_uv phi_uv,

with D_R a domain of 2B x 2B, pool the mean of 2 x 2 samples, phi the orthonormal cosines of the block, and Q what
leaves out the mean and the two slopes, which E holds (the orthogonal parameterisation of Oien and Lepsoy, 1995).
Leaves without a map have s = 0. Everything is a function on the square: cosines are those of the block's area, so a
finer grid shows the same map, and from the fixed point x at one scale that at twice the scale is one step without any
pooling.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.quadtree import GRID_CONTRAST, QuadtreeCode, QuadtreePlane, Tile
from fractalkit.core import IteratedMap
from fractalkit.errors import UsageError

Box = tuple[int, int, int, int]
MAX_STEPS = 40
ENLARGED = 6  # strength of the filter in enlargements
DEBLOCK_REACH = 8.0  # samples on either side of a border
CONTRASTS = 8
MAX_OUTPUT = 1 << 29  # samples of a picture in memory


def cosines(side: int, scale: int = 1) -> np.ndarray:
    """The orthonormal cosines of a block, as means over ``scale`` parts of each sample: ``[side * scale, side]``.

    Column k is ``c_k cos(pi k (i + 1/2) / n)`` times sinc(k / 2n) / sinc(k / 2 side), n = side * scale, so that the
    mean over the parts of a sample is what scale 1 has.

    >>> a = cosines(4, 3)
    >>> bool(np.allclose(a.reshape(4, 3, 4).mean(1), cosines(4)))
    True
    """
    n = side * scale
    k = np.arange(side)
    a = np.cos(np.pi * k * (np.arange(n)[:, None] + 0.5) / n) * np.where(k == 0, 1.0, np.sqrt(2.0)) / np.sqrt(side)
    return np.asarray(a * np.sinc(k / (2 * n)) / np.sinc(k / (2 * side)))


def waves(scale: int = 1) -> np.ndarray:
    """The first cosine of a block of each size, ``[7, 64 * scale]`` float64, row log2 side."""
    out = np.zeros((7, 64 * scale))
    for log in range(2, 7):
        out[log, : scale << log] = cosines(1 << log, scale)[:, 1]
    return out


def mapped_leaves(plane: QuadtreePlane) -> tuple[np.ndarray, np.ndarray]:
    """Leaves that have a map, ``[n, 6]`` int64 (row, column, log2 side, isometry, domain's row and column, in samples),
    and their contrasts ``[n]``. A domain that would stick out is moved inside; one larger than the plane is no map."""
    h, w = plane.level.shape
    if plane.maps.size == 0:
        return np.zeros((0, 6), np.int64), np.zeros(0, np.float32)
    cy, cx = np.nonzero(plane.maps[..., 0] > 0)
    log = plane.logs[cy, cx].astype(np.int64)
    side = 1 << log
    fits = (log > 0) & (2 * side <= min(h, w))
    cy, cx, log, side = (v[fits] for v in (cy, cx, log, side))
    code, iso, dy, dx = (plane.maps[cy, cx, i].astype(np.int64) for i in range(4))
    y, x, g = cy * 4, cx * 4, plane.grid
    yd = np.clip((y // g + dy) * g, 0, (h - 2 * side) // g * g)
    xd = np.clip((x // g + dx) * g, 0, (w - 2 * side) // g * g)
    s = ((code - 1) % CONTRASTS + 1) * GRID_CONTRAST * np.where(code > CONTRASTS, -1.0, 1.0)
    return np.stack([y, x, log, iso, yd, xd], 1), s.astype(np.float32)


def dequantised(plane: QuadtreePlane) -> np.ndarray:
    """Cosine coefficients in sample values, ``[H, W]`` float32, each leaf's in its own place."""
    a = np.abs(plane.level).astype(np.float32)
    shrink = np.array([0.0, *plane.shrink], np.float32)
    out = np.maximum(a - shrink[np.minimum(a, 3).astype(np.int64)], 0)
    out *= np.sign(plane.level)
    cells = _first_cells(plane)
    out[::4, ::4][cells] = plane.level[::4, ::4][cells]  # means are as they are
    return out * np.float32(plane.step)


def _first_cells(plane: QuadtreePlane) -> np.ndarray:
    cy, cx = np.indices(plane.logs.shape)
    low = (1 << np.maximum(plane.logs.astype(np.int64) - 2, 0)) - 1
    return ((cy & low) == 0) & ((cx & low) == 0) & (plane.logs > 0)


def explicit(plane: QuadtreePlane, scale: int = 1) -> np.ndarray:
    """E, the part of the map that is given: ``[H * scale, W * scale]`` float32."""
    c = dequantised(plane)
    h, w = c.shape
    out = np.zeros((h * scale, w * scale), np.float32)
    for log in range(2, 7):
        side = 1 << log
        if h % side or w % side:
            continue
        rows, columns = np.nonzero(plane.logs[:: side >> 2, :: side >> 2] == log)
        if not len(rows):
            continue
        a = cosines(side, scale).astype(np.float32)
        blocks = c.reshape(h // side, side, w // side, side)[rows, :, columns, :]
        n = side * scale
        flat = blocks[:, 1:].any((1, 2)) | blocks[:, 0, 1:].any(1)
        made = np.empty((len(rows), n, n), np.float32)
        made[~flat] = (blocks[~flat, 0, 0] / side)[:, None, None]
        made[flat] = a @ blocks[flat] @ a.T
        out.reshape(h // side, n, w // side, n)[rows, :, columns, :] = made
    return out


class QuadtreeMap(IteratedMap):
    """The map of one plane on its own grid, ``[1, H, W]``, as plain torch operations on any device.

    The metric is a weighted maximum norm, d(x, y) = max |x - y| / v. With M the map's matrix, |M| its absolute entries
    and v = sum_k |M|^k 1 cut off after some terms, |M| v <= l v elementwise proves the Lipschitz constant l; that l < 1
    is what the encoder makes sure of.
    """

    def __init__(self, plane: QuadtreePlane, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        self.plane = plane
        self.leaves, self.contrast = mapped_leaves(plane)
        self.shape = plane.level.shape
        self.explicit = torch.from_numpy(explicit(plane)).to(device, dtype)
        self._certificate: tuple[np.ndarray, float] | None = None
        self._groups = [self._group(log, dtype, device) for log in np.unique(self.leaves[:, 2])]

    def _group(self, log: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Leaves of one side: where their samples go, the four samples each is the mean of, contrasts, and Q."""
        side = 1 << int(log)
        m = self.leaves[:, 2] == log
        rows = self.leaves[m]
        i, j = np.indices((side, side))
        iso = rows[:, 3][:, None, None]
        p, q = np.where(iso & 4, j, i), np.where(iso & 4, i, j)
        p, q = np.where(iso & 1, side - 1 - p, p), np.where(iso & 2, side - 1 - q, q)
        w = self.shape[1]
        target = (rows[:, 0][:, None, None] + i) * w + rows[:, 1][:, None, None] + j
        source = (rows[:, 4][:, None, None] + 2 * p) * w + rows[:, 5][:, None, None] + 2 * q
        four = source[..., None] + np.array([0, 1, w, w + 1])
        one, wave = np.full(side, side**-0.5), cosines(side)[:, 1]
        low = np.stack([np.outer(one, one), np.outer(wave, one), np.outer(one, wave)]).reshape(3, -1)
        if not self.plane.slopes:
            low = low[:1]
        keep = np.eye(side * side) - low.T @ low
        flat = (-1, side * side)
        return (
            torch.from_numpy(target.reshape(flat)).to(device),
            torch.from_numpy(four.reshape(-1, side * side, 4)).to(device),
            torch.from_numpy(self.contrast[m]).to(device, dtype),
            torch.from_numpy(keep).to(device, dtype),
        )

    def start(self) -> Tensor:
        """The given part, E."""
        return self.explicit[None].clone()

    def step(self, x: Tensor) -> Tensor:
        """E + s Q iso(pool x), ``[1, H, W]``."""
        flat = x.reshape(-1)
        out = self.explicit.to(x.dtype).reshape(-1)
        for target, four, s, keep in self._groups:
            d = flat[four].mean(-1) @ keep
            out = out.index_add(0, target.reshape(-1), (s[:, None] * d).reshape(-1))
        return out.reshape(1, *self.shape)

    def _proof(self) -> tuple[np.ndarray, float]:
        if self._certificate is None:
            self._certificate = certificate(self.plane, self.leaves, self.contrast)
        return self._certificate

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """max |x - y| / v: ``[1]``."""
        v = torch.from_numpy(self._proof()[0]).to(x.device, x.dtype)
        return ((x - y).abs() / v).reshape(x.shape[0], -1).amax(1)

    def lipschitz(self) -> Tensor:
        """The proven constant in that metric: ``[1]``."""
        return self.explicit.new_tensor([self._proof()[1]])


def certificate(
    plane: QuadtreePlane, leaves: np.ndarray, contrast: np.ndarray, terms: int = 24, enough: float = 0.0
) -> tuple[np.ndarray, float]:
    """v ``[H, W]`` >= 1 and l with |M| v <= l v: a proof that the map contracts where l < 1.

    v is the sum of (|M| / 0.95)^k 1 over at most ``terms`` terms, cut off where the proof is best, or good ``enough``.
    """
    from fractalkit.maps import quadtree_cpu as cpu

    shape = plane.level.shape
    v = np.ones(shape)
    if not len(leaves):
        return v, 0.0
    w = waves()
    power = np.ones(shape)
    best = (v, np.inf)
    for _ in range(terms):
        out = np.zeros(shape)
        cpu.weights(v, leaves, contrast, w, float(plane.slopes), out)
        l = float((out / v).max()) * (1 + 1e-9)
        if l < best[1]:
            best = (v, l)
            if l < enough:
                break
        nxt = np.zeros(shape)
        cpu.weights(power, leaves, contrast, w, float(plane.slopes), nxt)
        power = nxt / 0.95
        if power.max() < 1e-3:
            break
        v = v + power
    return best


def expanding(plane: QuadtreePlane, leaves: np.ndarray, contrast: np.ndarray, v: np.ndarray) -> list[int]:
    """Which of the leaves have |M| v >= v somewhere: those that keep v from proving a contraction."""
    from fractalkit.maps import quadtree_cpu as cpu

    out = np.zeros_like(v)
    cpu.weights(v, leaves, contrast, waves(), float(plane.slopes), out)
    ratio = out / v
    return [
        n for n, (y, x, log, *_) in enumerate(leaves) if ratio[y : y + (1 << log), x : x + (1 << log)].max() > 0.999
    ]


def fixed_point(
    plane: QuadtreePlane, *, tol: float = 0.02, start: np.ndarray | None = None, x0: np.ndarray | None = None
) -> np.ndarray:
    """The plane's fixed point on its own grid, ``[H, W]`` float32, to ``tol`` sample values.

    Leaves are updated in turn, each from the newest values (Gauss-Seidel); a damaged code that does not contract is cut
    off after 40 rounds and kept finite.
    """
    from fractalkit.maps import quadtree_cpu as cpu

    e = explicit(plane) if start is None else start
    leaves, contrast = mapped_leaves(plane)
    x = e.copy() if x0 is None else x0
    if len(leaves):
        w = waves()
        for _ in range(MAX_STEPS):
            change = cpu.step(x, e, leaves, contrast, w, float(plane.slopes), x)
            if not change >= tol:
                break
            if not change < 1e6:
                np.clip(np.nan_to_num(x), -1e6, 1e6, out=x)
    return x


def plane_at(plane: QuadtreePlane, scale: int = 1, *, deblock: int = 0, box: Box | None = None) -> np.ndarray:
    """The fixed point with ``scale`` (a power of two) samples a sample.

    Args:
        deblock: strength of the filter, 0 for none.
        box: y0, x0, y1, x1 in samples of scale 1, to show a part; None for all of it.

    Returns:
        ``[(y1 - y0) * scale, (x1 - x0) * scale]`` float32.
    """
    from fractalkit.maps import quadtree_cpu as cpu
    from fractalkit.maps.quadtree_window import Window

    y0, x0, y1, x1 = box or (0, 0, plane.height, plane.width)
    x = fixed_point(plane)
    leaves, contrast = mapped_leaves(plane)
    # with a margin that the filter sees, which goes over rows and columns in turn; on whole cells
    margin = 2 * int(DEBLOCK_REACH) + 4 if deblock else 0
    top, left = max(0, y0 - margin) // 4 * 4, max(0, x0 - margin) // 4 * 4
    bottom, right = min(plane.level.shape[0], y1 + margin + 3), min(plane.level.shape[1], x1 + margin + 3)
    if 4 * (bottom - top) * (right - left) > plane.level.size:
        k = 1
        while k < scale:
            e = explicit(plane, 2 * k)
            out = e.copy()
            if len(leaves):
                cpu.lift(x, e, leaves, contrast, waves(), float(plane.slopes), waves(2 * k), k, out)
            x = out
            k *= 2
        part = np.ascontiguousarray(x[top * scale : bottom * scale, left * scale : right * scale])
    else:
        window = Window(plane, x, dequantised(plane), leaves, contrast)
        part = np.ascontiguousarray(window.at(top, left, bottom, right, scale))
    if deblock:
        height, width = min(bottom, plane.height) - top, min(right, plane.width) - left
        logs = plane.logs[top // 4 : (bottom + 3) // 4, left // 4 : (right + 3) // 4]
        limit = deblock_limit(plane.step, deblock)
        cpu.deblock(part, logs, scale, limit, DEBLOCK_REACH, height, width, top // 4, left // 4)
        if scale > 1:
            # nothing says where between two samples a step lies: it is spread over the one sample that it could be in
            cpu.deblock(part, logs, scale, np.inf, 0.5, height, width, top // 4, left // 4)
    return part[(y0 - top) * scale : (y1 - top) * scale, (x0 - left) * scale : (x1 - left) * scale]


def deblock_limit(step: float, strength: int) -> float:
    """The largest step between leaves that the filter takes away whole, in sample values."""
    return 0.05 * strength * step


def double(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """A plane of half the resolution on the full one, ``[height, width]``: cubic, each sample the mean of its four."""
    for axis in (0, 1):
        p = np.pad(x, [(2, 2) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        n = x.shape[axis]

        def at(k: int, p: np.ndarray = p, n: int = n, axis: int = axis) -> np.ndarray:
            return p[k : k + n] if axis == 0 else p[:, k : k + n]

        # means over half a sample of the quartic through the means of five
        slope = (at(3) - at(1)) * np.float32(22 / 128) - (at(4) - at(0)) * np.float32(3 / 128)
        both = np.stack([x - slope, x + slope], axis=axis + 1)
        x = both.reshape(both.shape[0] * both.shape[1], -1) if axis == 0 else both.reshape(both.shape[0], -1)
    return x[:height, :width]


def colours(planes: list[np.ndarray], depth: int) -> np.ndarray:
    """Y, or Y, Cb, Cr (BT.601, full range, about their middles) and alpha, to samples ``[H, W(, C)]``."""
    top = (1 << depth) - 1
    middle = np.float32(1 << (depth - 1))
    y = planes[0] + middle
    if len(planes) == 1:
        out = y
    else:
        cb, cr = planes[1], planes[2]
        rgb = [y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb]
        out = np.stack(rgb + ([planes[3] + middle] if len(planes) == 4 else []), -1)
    np.rint(out, out=out)
    np.clip(out, 0, top, out=out)
    return out.astype(np.uint8 if depth == 8 else np.uint16)


def _tile(code: QuadtreeCode, index: int, scale: int, deblock: int, box: Box) -> np.ndarray:
    """A part of a tile, ``box`` in its own pixels."""
    made = []
    y0, x0, y1, x1 = box
    for i, p in enumerate(code.planes(index)):
        if i in (1, 2) and code.settings.half:
            # two samples more than are shown, for the interpolation
            a, b = max(0, y0 // 2 - 2), max(0, x0 // 2 - 2)
            c, d = min(p.height, (y1 + 1) // 2 + 2), min(p.width, (x1 + 1) // 2 + 2)
            x = plane_at(p, scale, deblock=deblock, box=(a, b, c, d))
            x = double(x, 2 * x.shape[0], 2 * x.shape[1])
            dy, dx = (y0 - 2 * a) * scale, (x0 - 2 * b) * scale
            made.append(x[dy : dy + (y1 - y0) * scale, dx : dx + (x1 - x0) * scale])
        else:
            made.append(plane_at(p, scale, deblock=deblock, box=box))
    return colours(made, code.depth)


def decode(
    code: QuadtreeCode,
    height: int | None = None,
    width: int | None = None,
    window: tuple[float, float, float, float] | None = None,
    deblock: bool | None = None,
) -> np.ndarray:
    """The picture that the code stands for, ``[H, W]`` or ``[H, W, C]`` uint8 or uint16, at any size.

    Args:
        height, width: of the result, pixels; one alone keeps the proportions; neither, the size of the original.
        window: x0, y0, x1, y1 in [0, 1], y down: the part of the picture that the result shows, at full detail.
        deblock: filter the borders of leaves; None as the code says.

    Raises:
        UsageError: a size or a window out of range, or a result too large for memory.
    """
    x0, y0, x1, y1 = window or (0.0, 0.0, 1.0, 1.0)
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise UsageError(f"window {x0},{y0},{x1},{y1}: expected 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1")
    part_h, part_w = (y1 - y0) * code.height, (x1 - x0) * code.width
    if height is None and width is None:
        height, width = max(1, round(part_h)), max(1, round(part_w))
    elif height is None:
        assert width is not None
        height = max(1, round(width * part_h / part_w))
    elif width is None:
        width = max(1, round(height * part_w / part_h))
    if not (height >= 1 and width >= 1):
        raise UsageError(f"size {width} x {height}: expected at least one pixel either way")
    if height * width * code.channels > MAX_OUTPUT:
        gib = height * width * code.channels * code.depth / 8 / 2**30
        raise UsageError(f"size {width} x {height} would take {gib:.1f} GiB and more; decode windows of it instead")
    scale = 1
    while scale < 64 and (scale * part_h < height or scale * part_w < width):
        scale *= 2
    strength = code.settings.deblock if deblock is None else (max(1, code.settings.deblock) if deblock else 0)
    if scale > 1 and deblock is None:
        strength = max(strength, ENLARGED)  # steps that pixels hid are seen
    rows = (max(0, int(np.floor(y0 * code.height)) - 2), min(code.height, int(np.ceil(y1 * code.height)) + 2))
    columns = (max(0, int(np.floor(x0 * code.width)) - 2), min(code.width, int(np.ceil(x1 * code.width)) + 2))
    shape = ((rows[1] - rows[0]) * scale, (columns[1] - columns[0]) * scale)
    tail = () if code.channels == 1 else (code.channels,)
    out = np.zeros(shape + tail, np.uint8 if code.depth == 8 else np.uint16)
    for index, t in enumerate(code.tiles):
        top, bottom = max(rows[0], t.y), min(rows[1], t.y + t.height)
        left, right = max(columns[0], t.x), min(columns[1], t.x + t.width)
        if top >= bottom or left >= right:
            continue
        made = _tile(code, index, scale, strength, (top - t.y, left - t.x, bottom - t.y, right - t.x))
        at = slice((top - rows[0]) * scale, (bottom - rows[0]) * scale)
        out[at, (left - columns[0]) * scale : (right - columns[0]) * scale] = made
    box = (
        (x0 * code.width - columns[0]) * scale, (y0 * code.height - rows[0]) * scale,
        (x1 * code.width - columns[0]) * scale, (y1 * code.height - rows[0]) * scale,
    )  # fmt: skip
    if box == (0, 0, shape[1], shape[0]) and shape == (height, width):
        return out
    return resample(out, height, width, box)


def resample(picture: np.ndarray, height: int, width: int, box: tuple[float, float, float, float]) -> np.ndarray:
    """Means over the areas of the result's pixels; linear between samples where those are larger than pixels.

    ``box``: x0, y0, x1, y1 in samples of ``picture``.
    """
    out = picture.astype(np.float32)
    for axis, (n, a, b) in enumerate(((height, box[1], box[3]), (width, box[0], box[2]))):
        shape = [-1 if k == axis else 1 for k in range(out.ndim)]
        if b - a < n:
            where = np.clip(a + (b - a) * (np.arange(n) + 0.5) / n - 0.5, 0, out.shape[axis] - 1)
            low = np.minimum(where.astype(np.int64), max(0, out.shape[axis] - 2))
            part = (where - low).reshape(shape).astype(np.float32)
            high = np.minimum(low + 1, out.shape[axis] - 1)
            out = np.take(out, low, axis) * (1 - part) + np.take(out, high, axis) * part
            continue
        total = np.concatenate(
            [np.zeros_like(np.take(out, [0], axis), np.float64), np.cumsum(out, axis, np.float64)], axis
        )
        edges = np.clip(a + (b - a) * np.arange(n + 1) / n, 0, out.shape[axis])
        low = np.minimum(edges.astype(np.int64), out.shape[axis] - 1)
        inside = (edges - low).reshape(shape)
        at = np.take(total, low, axis) * (1 - inside) + np.take(total, low + 1, axis) * inside
        out = (np.diff(at, axis=axis) / np.maximum(np.diff(edges), 1e-9).reshape(shape)).astype(np.float32)
    return np.rint(out).clip(0, np.iinfo(picture.dtype).max).astype(picture.dtype)


def trace(code: QuadtreeCode, start: np.ndarray | None = None, steps: int = 12) -> Iterator[np.ndarray]:
    """The iterates T^n x from any ``start`` ``[H, W(, C)]``, grey where there is none: ``steps + 1`` pictures."""
    from fractalkit.maps import quadtree_cpu as cpu

    shape = (code.height, code.width) if code.channels == 1 else (code.height, code.width, code.channels)
    if start is not None and start.shape != shape:
        raise UsageError(f"start: expected an array of shape {shape}, got {start.shape}")
    states: list[tuple[Tile, list[np.ndarray], list[QuadtreePlane]]] = []
    for index, t in enumerate(code.tiles):
        planes = code.planes(index)
        if start is None:
            xs = [np.zeros(p.level.shape, np.float32) for p in planes]
        else:
            part = start[t.y : t.y + t.height, t.x : t.x + t.width]
            xs = [_padded(v, p) for v, p in zip(separate(part, code.depth, code.settings.half), planes, strict=True)]
        states.append((t, xs, planes))
    w = waves()
    fixed = [[(explicit(p), *mapped_leaves(p), float(p.slopes)) for p in planes] for _, _, planes in states]
    for n in range(steps + 1):
        out = np.zeros(shape, np.uint8 if code.depth == 8 else np.uint16)
        for (t, xs, planes), given in zip(states, fixed, strict=True):
            if n:
                for i in range(len(xs)):
                    e, leaves, contrast, slopes = given[i]
                    new = e.copy()
                    cpu.step(xs[i], e, leaves, contrast, w, slopes, new)
                    xs[i] = new
            shown = [x[: p.height, : p.width] for x, p in zip(xs, planes, strict=True)]
            shown = [
                double(x, t.height, t.width) if i in (1, 2) and code.settings.half else x for i, x in enumerate(shown)
            ]
            out[t.y : t.y + t.height, t.x : t.x + t.width] = colours(shown, code.depth)
        yield out


def mix(a: QuadtreeCode, b: QuadtreeCode, weight: float | np.ndarray = 0.5, *, steps: int = 24) -> np.ndarray:
    """The fixed point of (1 - w) T_a + w T_b, two pictures mixed by mixing their maps: ``[H, W(, C)]``.

    Not the mean of the two fixed points: domains of either map see the mixed picture. Where both contract, it does.

    Args:
        weight: w, one number or ``[H, W]`` in [0, 1], of luma's grid.

    Raises:
        UsageError: codes of different size or colour, or a weight out of range.
    """
    from fractalkit.maps import quadtree_cpu as cpu

    if (a.height, a.width, a.channels, a.depth) != (b.height, b.width, b.channels, b.depth):
        raise UsageError("mix: the two codes must have one size, one number of channels and one depth")
    if (a.settings.half, a.settings.tile) != (b.settings.half, b.settings.tile):
        raise UsageError("mix: both codes must have chroma at the same resolution")
    field = np.broadcast_to(np.asarray(weight, np.float64), (a.height, a.width))
    if not ((field >= 0) & (field <= 1)).all():
        raise UsageError("mix: weights must lie between 0 and 1")
    out = np.zeros((a.height, a.width) if a.channels == 1 else (a.height, a.width, a.channels), np.uint8)
    if a.depth == 16:
        out = out.astype(np.uint16)
    wave = waves()
    for index, t in enumerate(a.tiles):
        shown = []
        for i, (p, q) in enumerate(zip(a.planes(index), b.planes(index), strict=True)):
            w = field[t.y : t.y + t.height, t.x : t.x + t.width]
            if i in (1, 2) and a.settings.half:
                w = halved(w)
            h, width = (max(m, n) for m, n in zip(p.level.shape, q.level.shape, strict=True))
            w = np.pad(w, ((0, h - w.shape[0]), (0, width - w.shape[1])), mode="edge").astype(np.float32)
            given = [(explicit(c), *mapped_leaves(c), float(c.slopes)) for c in (p, q)]
            x = np.zeros((h, width), np.float32)
            for _ in range(steps):
                new = []
                for e, leaves, contrast, slopes in given:
                    part = np.ascontiguousarray(x[: e.shape[0], : e.shape[1]])
                    made = e.copy()
                    cpu.step(part, e, leaves, contrast, wave, slopes, made)
                    new.append(np.pad(made, ((0, h - made.shape[0]), (0, width - made.shape[1])), mode="edge"))
                x = (1 - w) * new[0] + w * new[1]
            x = x[: p.height, : p.width]
            shown.append(double(x, t.height, t.width) if i in (1, 2) and a.settings.half else x)
        out[t.y : t.y + t.height, t.x : t.x + t.width] = colours(shown, a.depth)
    return out


def _padded(v: np.ndarray, plane: QuadtreePlane) -> np.ndarray:
    h, w = plane.level.shape
    return np.pad(v, ((0, h - v.shape[0]), (0, w - v.shape[1])), mode="edge").astype(np.float32)


def separate(picture: np.ndarray, depth: int, half: bool) -> list[np.ndarray]:
    """Samples ``[H, W(, C)]`` to Y, Cb, Cr and alpha about their middles, float64; chroma at half resolution if asked.

    Elementwise and in a fixed order, so that every machine gets the same numbers.
    """
    middle = float(1 << (depth - 1))
    if picture.ndim == 2:
        return [picture.astype(np.float64) - middle]
    r, g, b = (picture[..., i].astype(np.float64) for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    planes = [y - middle, (b - y) / 1.772, (r - y) / 1.402]
    if half:
        planes[1:] = [halved(v) for v in planes[1:]]
    if picture.shape[-1] == 4:
        planes.append(picture[..., 3].astype(np.float64) - middle)
    return planes


def halved(v: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 samples; an odd last row or column stands for itself."""
    v = np.pad(v, ((0, v.shape[0] % 2), (0, v.shape[1] % 2)), mode="edge")
    return np.asarray(0.25 * (v[::2, ::2] + v[1::2, ::2] + v[::2, 1::2] + v[1::2, 1::2]))
