"""The map of a quadtree code.

On each leaf R of the quadtree (a range block of B x B samples) the map is

    (T x)_R = E_R + s_R Q iso_R(pool x_{D_R}),        E_R = sum_uv c_uv phi_uv,

with D_R a domain of 2B x 2B, pool the mean of 2 x 2 samples, phi the orthonormal cosines of the block, and Q the
projection that removes the mean and the two slopes, which E holds (the orthogonal parameterisation of Oien and Lepsoy,
1995). Leaves without a map have s = 0. Everything is a function on the square: cosines are those of the block's area,
so a finer grid shows the same map, and the fixed point at twice the scale is one step without pooling from that at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from fractalkit.codes.quadtree import GRID_CONTRAST, QuadtreePlane
from fractalkit.core import GaussSeidel, IteratedMap, Window, solve
from fractalkit.maps.quadtree_proof import certificate
from fractalkit.raster.cosines import block_cosines, slope_cosines

MAX_SWEEPS = 40  # of a damaged code that does not contract
TOLERANCE = 0.02  # largest change of the last sweep, in sample values
CONTRASTS = 8
CELL = 4  # samples a side of the smallest leaf
_LOW = np.array([0, 0, 0, 1, 3, 7, 15, 31], np.uint8)  # bits of a leaf's first cell that are 0, by log2 of the side


def mapped_leaves(plane: QuadtreePlane) -> tuple[np.ndarray, np.ndarray]:
    """The leaves with a map and their contrasts.

    Domains that extend beyond the plane are moved inside; maps of domains larger than the plane are ignored.

    Returns:
        ``[n, 6]`` int64 (row, column, log2 of the side, isometry, row and column of the domain), ``[n]`` float32.
    """
    h, w = plane.level.shape
    if plane.maps.size == 0 or plane.directed:
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
    from fractalkit.maps import quadtree_cpu as cpu

    out = np.empty(plane.level.shape, np.float32)
    shrink = np.array([0.0, *plane.shrink], np.float32)
    cpu.dequantise(plane.level, _first_cells(plane), shrink, np.float32(plane.step), out)
    return out


def _first_cells(plane: QuadtreePlane) -> np.ndarray:
    (rows, columns), logs = plane.logs.shape, plane.logs
    low = _LOW[logs & 7]
    cy, cx = (np.arange(n).astype(np.uint8) for n in (rows, columns))
    return np.asarray(((cy[:, None] | cx) & low == 0) & (logs > 0))


def explicit(plane: QuadtreePlane, scale: int = 1, cosines: np.ndarray | None = None) -> np.ndarray:
    """E, the explicit part of the map: ``[H * scale, W * scale]`` float32; or the plane of other ``cosines``."""
    c = dequantised(plane) if cosines is None else cosines
    h, w = c.shape
    out = np.zeros((h * scale, w * scale), np.float32)
    for log in range(2, 7):
        side = 1 << log
        if h % side or w % side:
            continue
        rows, columns = np.nonzero(plane.logs[:: side >> 2, :: side >> 2] == log)
        if not len(rows):
            continue
        a = block_cosines(side, scale).astype(np.float32)
        blocks = c.reshape(h // side, side, w // side, side)[rows, :, columns, :]
        n = side * scale
        busy = blocks[:, 1:].any((1, 2)) | blocks[:, 0, 1:].any(1)
        made = np.empty((len(rows), n, n), np.float32)
        made[~busy] = (blocks[~busy, 0, 0] / side)[:, None, None]
        made[busy] = a @ blocks[busy] @ a.T
        out.reshape(h // side, n, w // side, n)[rows, :, columns, :] = made
    return out


def all_leaves(plane: QuadtreePlane) -> np.ndarray:
    """All leaves, ``[n, 3]`` int64: row and column in samples, log2 side."""
    cy, cx = np.nonzero(_first_cells(plane))
    return np.stack([CELL * cy, CELL * cx, plane.logs[cy, cx].astype(np.int64)], 1)


class QuadtreeMap(IteratedMap):
    """The map of one plane, ``[1, H, W]``, with ``scale`` x ``scale`` values per sample.

    At scale 1 it is solved by Gauss-Seidel sweeps. The fixed point at any other power of two is lifted from half the
    scale, in compiled loops; a window computes only the leaves that it shows and, coarser, their domains.

    The metric is a weighted maximum norm, d(x, y) = max |x - y| / v. With M the map's matrix, |M| its absolute entries
    and v = sum_k |M|^k 1 cut off after some terms, |M| v <= l v elementwise proves the Lipschitz constant l
    (:func:`.quadtree_proof.certificate`); the encoder ensures that l < 1. Neither :meth:`step`, in plain torch on any
    device, nor the proof is needed to decode.

    Args:
        scale: a power of two; :meth:`step`, :meth:`distance` and :meth:`lipschitz` are those of scale 1.
        given: E at scale 1, if already computed.
    """

    def __init__(
        self, plane: QuadtreePlane, scale: int = 1, *, dtype: torch.dtype = torch.float32, device: str = "cpu",
        given: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.plane, self.scale, self.dtype, self.device = plane, scale, dtype, device
        self.leaves, self.contrast = mapped_leaves(plane)
        self.given = explicit(plane) if given is None else given
        self.shape = plane.level.shape

    # ---- levels

    def whole(self) -> Window:
        """(0, 0, width, height) of the padded plane."""
        h, w = self.shape
        return 0, 0, w * self.scale, h * self.scale

    def level(self) -> tuple[str, int]:
        """The scale."""
        return "quadtree", self.scale

    def needs(self, window: Window | None) -> list[tuple[IteratedMap, Window | None]] | None:
        """The domains of the leaves in the window at half the scale, or the whole plane for a large window."""
        if self.scale == 1:
            return None
        half = self.scale // 2
        coarse = QuadtreeMap(self.plane, half, dtype=self.dtype, device=self.device, given=self.given)
        if self._large(window):
            return [(coarse, coarse.whole())]
        spans = self._domains(self._mapped[self._meets(window)])
        return [(coarse, (x0 * half, y0 * half, x1 * half, y1 * half)) for y0, x0, y1, x1 in spans]

    def lift(self, parts: Sequence[Tensor], window: Window | None) -> Tensor:
        """E + s Q iso(x_D) with x at half the scale: ``[1, h, w]``."""
        left, top, right, bottom = window or self.whole()
        if self._large(window):
            out = explicit(self.plane, self.scale, self._values)
            self._lift(parts[0], self.leaves, self.contrast, out)
            y = x = 0
        else:
            out, y, x = self._lift_window(parts, (left, top, right, bottom))
        part = out[top - y : bottom - y, left - x : right - x]
        return torch.from_numpy(np.ascontiguousarray(part)).to(self.device, self.dtype)[None]

    def _lift(self, x: Tensor, leaves: np.ndarray, contrast: np.ndarray, out: np.ndarray) -> None:
        """Add the copies of some leaves to ``out``, which holds E; places are relative to x and out."""
        from fractalkit.maps import quadtree_cpu as cpu

        if len(leaves):
            coarse = np.ascontiguousarray(x[0].cpu().numpy(), np.float32)
            cpu.lift(
                coarse, out, leaves, contrast, slope_cosines(), float(self.plane.slopes),
                slope_cosines(self.scale), self.scale // 2, out,
            )  # fmt: skip

    def _lift_window(self, parts: Sequence[Tensor], window: Window) -> tuple[np.ndarray, int, int]:
        """A window, extended to whole leaves if they have maps, and its top and left."""
        left, top, right, bottom = window
        meets = self._meets(window)
        blocks, mapped = self._blocks[meets], self._mapped[meets]
        copied = blocks[mapped >= 0]
        corners = [[[top // self.scale, left // self.scale]], copied[:, :2]]
        ends = [[[-(-bottom // self.scale), -(-right // self.scale)]], copied[:, :2] + (1 << copied[:, 2:])]
        low, high = np.concatenate(corners).min(0), np.concatenate(ends).max(0)
        out = np.zeros((high - low) * self.scale, np.float32)
        for y, x, log in blocks:
            side = 1 << int(log)
            a = block_cosines(side, self.scale).astype(np.float32)
            start, stop = np.maximum((y, x), low), np.minimum((y + side, x + side), high)
            (r0, c0), (r1, c1) = (start - (y, x)) * self.scale, (stop - (y, x)) * self.scale
            (top, left), (bottom, right) = (start - low) * self.scale, (stop - low) * self.scale
            out[top:bottom, left:right] = a[r0:r1] @ self._values[y : y + side, x : x + side] @ a[c0:c1].T
        spans = self._domains(mapped)
        index = mapped[mapped >= 0]
        leaves, contrast = self.leaves[index].copy(), self.contrast[index]
        leaves[:, :2] -= low
        for part, (y0, x0, y1, x1) in zip(parts, spans, strict=True):
            inside = (leaves[:, 4] >= y0) & (leaves[:, 5] >= x0) & (leaves[:, 4] < y1) & (leaves[:, 5] < x1)
            here = leaves[inside]
            here[:, 4:] -= (y0, x0)
            self._lift(part, here, contrast[inside], out)
        return out, int(low[0]) * self.scale, int(low[1]) * self.scale

    def _large(self, window: Window | None) -> bool:
        """Whether a window is more than a quarter of the plane, so that the coarser plane is made whole."""
        left, top, right, bottom = window or self.whole()
        return 4 * (bottom - top) * (right - left) > self.shape[0] * self.shape[1] * self.scale**2

    def _meets(self, window: Window | None) -> np.ndarray:
        """Which leaves a window meets."""
        left, top, right, bottom = window or self.whole()
        y, x, side = self._blocks[:, 0], self._blocks[:, 1], 1 << self._blocks[:, 2]
        k = self.scale
        return (y * k < bottom) & ((y + side) * k > top) & (x * k < right) & ((x + side) * k > left)

    def _domains(self, mapped: np.ndarray) -> list[tuple[int, int, int, int]]:
        """Disjoint boxes (top, left, bottom, right) in samples that hold the domains of leaves; -1 has none.

        It is one box of everything if they are more than half of the plane.
        """
        from scipy.ndimage import find_objects, label

        read = np.zeros(tuple(n // CELL for n in self.shape), bool)
        for _, _, log, _, y, x in self.leaves[mapped[mapped >= 0]]:
            read[y // CELL : -(-(y + (2 << log)) // CELL), x // CELL : -(-(x + (2 << log)) // CELL)] = True
        while 2 * read.sum() < read.size:
            boxes = [tuple(s for s in box) for box in find_objects(label(read, np.ones((3, 3)))[0])]
            filled = read.copy()
            for box in boxes:
                filled[box] = True
            if (filled == read).all():
                return [(CELL * y.start, CELL * x.start, CELL * y.stop, CELL * x.stop) for y, x in boxes]
            read = filled
        return [(0, 0, *self.shape)]

    @cached_property
    def _blocks(self) -> np.ndarray:
        return all_leaves(self.plane)

    @cached_property
    def _mapped(self) -> np.ndarray:
        """For each leaf the index of its map, or -1."""
        index = np.full(self.shape, -1, np.int64)
        index[self.leaves[:, 0], self.leaves[:, 1]] = np.arange(len(self.leaves))
        return index[self._blocks[:, 0], self._blocks[:, 1]]

    @cached_property
    def _values(self) -> np.ndarray:
        return dequantised(self.plane)

    # ---- scale 1

    def solve_options(self) -> dict[str, Any]:
        """Gauss-Seidel sweeps until the largest change is below ``TOLERANCE``."""
        return {"solver": GaussSeidel(), "residual": TOLERANCE, "max_steps": MAX_SWEEPS}

    def sweep(self, x: Tensor) -> Tensor:
        """Update leaf by leaf, each from the newest values; values of a code that does not contract stay finite."""
        new = x[0].cpu().numpy().astype(np.float32)
        if not self._update(new, new) < 1e6:
            np.clip(np.nan_to_num(new), -1e6, 1e6, out=new)
        return torch.from_numpy(new).to(self.device, self.dtype)[None]

    def fast_step(self, x: np.ndarray) -> np.ndarray:
        """:meth:`step` of a float32 array ``[H, W]``, compiled."""
        new = self.given.copy()
        self._update(x, new)
        return new

    def _update(self, x: np.ndarray, out: np.ndarray) -> float:
        """Compute the copies from x into ``out``, which may be x; the largest change."""
        from fractalkit.maps import quadtree_cpu as cpu

        if not len(self.leaves):
            return 0.0
        slopes = float(self.plane.slopes)
        return float(cpu.step(x, self.given, self.leaves, self.contrast, slope_cosines(), slopes, out))

    def start(self) -> Tensor:
        """E."""
        return torch.from_numpy(self.given).to(self.device, self.dtype)[None].clone()

    def step(self, x: Tensor) -> Tensor:
        """E + s Q iso(pool x), ``[1, H, W]``."""
        flat = x.reshape(-1)
        out = torch.from_numpy(self.given).to(x).reshape(-1)
        for target, four, s, keep in self._groups:
            d = flat[four].mean(-1) @ keep
            out = out.index_add(0, target.reshape(-1), (s[:, None] * d).reshape(-1))
        return out.reshape(1, *self.shape)

    @cached_property
    def _groups(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        return [self._group(log) for log in np.unique(self.leaves[:, 2])]

    def _group(self, log: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """For leaves of one side: target indices, the four source indices of each sample, contrasts, and Q."""
        side = 1 << int(log)
        m = self.leaves[:, 2] == log
        rows = self.leaves[m]
        i, j = np.indices((side, side))
        iso = rows[:, 3][:, None, None]
        p, r = np.where(iso & 4, j, i), np.where(iso & 4, i, j)
        p, r = np.where(iso & 1, side - 1 - p, p), np.where(iso & 2, side - 1 - r, r)
        w = self.shape[1]
        target = (rows[:, 0][:, None, None] + i) * w + rows[:, 1][:, None, None] + j
        source = (rows[:, 4][:, None, None] + 2 * p) * w + rows[:, 5][:, None, None] + 2 * r
        four = source[..., None] + np.array([0, 1, w, w + 1])
        one, wave = np.full(side, side**-0.5), block_cosines(side)[:, 1]
        low = np.stack([np.outer(one, one), np.outer(wave, one), np.outer(one, wave)]).reshape(3, -1)
        if not self.plane.slopes:
            low = low[:1]
        keep = np.eye(side * side) - low.T @ low
        indices = rearrange(target, "n i j -> n (i j)"), rearrange(four, "n i j k -> n (i j) k")
        at, read = (torch.from_numpy(i).to(self.device) for i in indices)
        s, q = (torch.from_numpy(v).to(self.device, self.dtype) for v in (self.contrast[m], keep))
        return at, read, s, q

    @cached_property
    def _proof(self) -> tuple[np.ndarray, float]:
        return certificate(self.plane, self.leaves, self.contrast)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """max |x - y| / v: ``[1]``."""
        v = torch.from_numpy(self._proof[0]).to(x.device, x.dtype)
        return ((x - y).abs() / v).reshape(x.shape[0], -1).amax(1)

    def lipschitz(self) -> Tensor:
        """The proven constant in that metric: ``[1]``."""
        return torch.tensor([self._proof[1]], dtype=self.dtype, device=self.device)


def solve_plane(plane: QuadtreePlane, tol: float = TOLERANCE) -> np.ndarray:
    """The plane's fixed point on its own grid, ``[H, W]`` float32, until a sweep changes less than ``tol``."""
    map = QuadtreeMap(plane)
    return solve(map, **(map.solve_options() | {"residual": tol})).value[0].numpy()
