"""The map of an enlargement: finer detail copied from the picture's own coarser scales, on a consistent base.

Let A average 2 x 2 pixels, and let Y be the picture at half the size. Of all pictures x with A x = Y, the enlargement
is the fixed point of

    T x = P (R Y + F A x),                A R = 1,  A F = 0,

where R refines by the spline that has these averages (:mod:`fractalkit.raster.average_spline`), F adds detail whose
mean is zero on each pixel of Y, and P projects onto the pictures that have the averages Y and stay near the range of
their neighbourhoods. F is linear. It combines three predictions, each found between Y and its own coarser copies and
applied one scale finer:

- *copies*: around each pixel, a range of 3 x 3 pixels is compared with domains of 6 x 6 pixels averaged 2 x 2, and
  the detail of the best ones is copied with their contrast; the nine ranges that cover a pixel are averaged (Glasner,
  Bagon and Irani, ICCV 2009; Freedman and Fattal, ACM Trans. Graph. 30, 2011, for the search nearby);
- *local filters*: affine maps from 5 x 5 pixels to the four quarters of the middle one, fitted around each place;
- *filters by class*, fitted to all neighbourhoods of the picture of the same direction and strength.

As A T x = Y for every x, T T x is the same for all x. The fixed point is had in one lift from Y, and Y the same way
from the scale below, down to the picture itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fractalkit.codes.enlargement import EnlargementCode
from fractalkit.core import IteratedMap, Window, fixed_point
from fractalkit.maps import enlarge_parts as parts_of
from fractalkit.raster.average_spline import refine

COPIES = 8  # domains of a range
NEARBY = 8  # pixels to the farthest domain
SIGMA, RELATIVE = 4.0, 0.1  # deviation, in levels and of the range's energy, at which a copy's weight falls
CONTRAST_RIDGE = 30.0
MARGIN = 56  # pixels around a window that its detail may depend on; a multiple of CELL
SMOOTH = 16  # pixels around a window that the base depends on
SMALLEST = 12  # pixels a side of pictures that have detail
BEYOND = 12.0  # levels by which quarters may leave the range of the 3 x 3 pixels around
LIKELY = (0.4, 0.4)  # factors of the copies and of the sum of the filters, at detail 1
RICH = (1.1, 0.5)  # at detail 2


@dataclass(frozen=True)
class Found:
    """What F is made of, for a window of H x W pixels of Y.

    Attributes:
        place, contrast, weight: ``[H', W', K]``: domains (flat index of their place in ``pooled``) of the ranges that
            cover the window, which begins at ``origin`` of them.
        kind: ``[H, W]``: the class of each pixel's neighbourhood.
        local: ``[ny, nx, SIDE^2, 4]``: filters at the nodes of the grid of cells.
        row, column: the nodes and weights of the window's rows and columns, as :func:`.enlarge_parts.node_weights`.
    """

    place: np.ndarray
    contrast: np.ndarray
    weight: np.ndarray
    origin: tuple[int, int]
    kind: Tensor
    local: Tensor
    row: tuple[Tensor, Tensor]
    column: tuple[Tensor, Tensor]


class EnlargeMap(IteratedMap):
    """The map of an enlargement by 2^``doublings``, ``[C, H, W]``.

    The metric is d(x, y) = |x - y| + t |A (x - y)|, maximum norms, with t = 4 |F|. P has the constant 2: it adds one
    number to a pixel's four quarters and clips them, and that number moves no further than they do. As A T x = A T y,
    d(T x, T y) = |T x - T y| <= 2 |F| |A (x - y)| <= d(x, y) / 2.

    Args:
        plain: the finest of these doublings, so many, add no detail.
        dtype: of :meth:`step`, in plain torch; :meth:`lift` computes in float32, in compiled loops.
    """

    def __init__(
        self, code: EnlargementCode, doublings: int = 1, *, plain: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        self.code, self.doublings, self.plain, self.dtype = code, doublings, plain, dtype
        self.here = code if plain == 0 else code.with_detail(0)

    # ---- levels

    def whole(self) -> Window:
        """(0, 0, width, height)."""
        _, h, w = self.code.picture.shape
        return 0, 0, w << self.doublings, h << self.doublings

    def level(self) -> tuple[str, int, int]:
        """The numbers of doublings."""
        return "enlargement", self.doublings, self.plain

    def needs(self, window: Window | None) -> list[tuple[IteratedMap, Window | None]] | None:
        """The picture at half the size around the window, or None for the picture itself."""
        if self.doublings == 0:
            return None
        return [(self._half, self._around(window))]

    @cached_property
    def _half(self) -> EnlargeMap:
        return EnlargeMap(self.code, self.doublings - 1, plain=max(0, self.plain - 1), dtype=self.dtype)

    def _around(self, window: Window | None) -> Window:
        left, top, right, bottom = window or self.whole()
        width, height = self._half.whole()[2:]
        cell, margin = parts_of.CELL, MARGIN if self.here.detail else SMOOTH
        return (
            max(0, left // 2 // cell * cell - margin), max(0, top // 2 // cell * cell - margin),
            min(width, (right + 1) // 2 + margin), min(height, (bottom + 1) // 2 + margin),
        )  # fmt: skip

    def lift(self, parts: Sequence[Tensor], window: Window | None) -> Tensor:
        """P (R Y + F Y), ``[C, h, w]``, from the window of Y that :meth:`needs` lists."""
        left, top, right, bottom = window or self.whole()
        x0, y0, _, _ = self._around(window)
        y = parts[0].to(torch.float32).contiguous()
        # whole pixels of Y, in the part's own coordinates
        inner = (left // 2 - x0, top // 2 - y0, (right + 1) // 2 - x0, (bottom + 1) // 2 - y0)
        out = enlarged(y, self.here, inner)
        a, b = top - 2 * (inner[1] + y0), left - 2 * (inner[0] + x0)
        return out[:, a : a + bottom - top, b : b + right - left].to(self.dtype)

    # ---- the map

    def start(self) -> Tensor:
        """Zero; the picture itself at no doubling."""
        left, top, right, bottom = self.whole()
        if self.doublings == 0:
            return self.code.picture.to(self.dtype)
        return torch.zeros(self.code.picture.shape[0], bottom - top, right - left, dtype=self.dtype)

    def step(self, x: Tensor) -> Tensor:
        """P (R Y + F A x)."""
        if self.doublings == 0:
            return self.code.picture.to(x)
        y = functional.avg_pool2d(x[None], 2)[0]
        return project(self._base.to(x) + self._detail(y), self._coarse.to(x))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """|x - y| + t |A (x - y)|, ``[1]``."""
        d = (x - y)[None]
        far = d.abs().amax()
        if self.doublings:
            far = far + 4 * self._norm * functional.avg_pool2d(d, 2).abs().amax()
        return far[None]

    def lipschitz(self) -> Tensor:
        """One half, ``[1]``; 0 at no doubling."""
        return torch.full((1,), 0.5 if self.doublings else 0.0, dtype=self.dtype)

    @cached_property
    def _coarse(self) -> Tensor:
        """Y, the fixed point at half the size."""
        return fixed_point(self._half).to(torch.float32)

    @cached_property
    def _base(self) -> Tensor:
        return refine(self._coarse.to(self.dtype))

    @cached_property
    def _found(self) -> Found | None:
        y = self._coarse
        return find(y, self.here, (0, 0, y.shape[2], y.shape[1]))

    def _detail(self, y: Tensor) -> Tensor:
        """F y, differentiable."""
        if self._found is None:
            return y.new_zeros(y.shape[0], 2 * y.shape[1], 2 * y.shape[2])
        return spread(detail_of(y, self._found, self.here))

    @cached_property
    def _norm(self) -> float:
        """An upper bound on |F|: details are at most 4 |y|, as the refinement grows by at most 3."""
        if self._found is None:
            return 0.0
        copies, filters = amounts(self.here.detail)
        most = 2 * float(self.code.filters.abs().sum((1, 2)).max() + self._found.local.abs().sum((2, 3)).max())
        most += 2 * float(self.code.filters[-1].abs().sum())
        return copies * 4 * float(np.abs(self._found.contrast).max()) + filters * 2 * most


def amounts(detail: float) -> tuple[float, float]:
    """Factors of the copies and of the sum of the filters."""
    rich = max(0.0, detail - 1)
    a, b = (min(detail, 1.0) * ((1 - rich) * u + rich * v) for u, v in zip(LIKELY, RICH, strict=True))
    return a, b


def find(y: Tensor, code: EnlargementCode, inner: Window) -> Found | None:
    """Find the copies and filters of a window of ``y`` ``[C, H, W]``; None where there is no detail to add."""
    from fractalkit.maps import enlarge_cpu as cpu

    if code.detail == 0 or min(y.shape[1:]) < SMALLEST:
        return None
    left, top, right, bottom = inner
    grey = parts_of.luma(y)
    h, w = grey.shape
    y0, x0, y1, x1 = max(0, top - 1), max(0, left - 1), min(h, bottom + 1), min(w, right + 1)
    shape = (y1 - y0, x1 - x0, COPIES)
    place, contrast, weight = np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    pooled = np.ascontiguousarray(parts_of.pooled(grey).numpy())
    cpu.search(
        np.ascontiguousarray(grey.numpy()), pooled, y0, x0, shape[0], shape[1], NEARBY,
        np.float32(max(0.0, code.detail - 1)), np.float32(SIGMA), np.float32(RELATIVE), np.float32(CONTRAST_RIDGE),
        np.float32(1), place, contrast, weight,
    )  # fmt: skip
    seen = (max(0, left - 8), max(0, top - 8), min(w, right + 8), min(h, bottom + 8))
    around = parts_of.classes(grey[seen[1] : seen[3], seen[0] : seen[2]], 1)
    kind = around[top - seen[1] : bottom - seen[1], left - seen[0] : right - seen[0]]
    detail = torch.from_numpy(cpu.details(grey[None].contiguous().numpy()))[:, :, 0]
    local = parts_of.local_filters(grey, detail, code.filters[-1])
    row = parts_of.node_weights(bottom - top, local.shape[0], top)
    column = parts_of.node_weights(right - left, local.shape[1], left)
    return Found(place, contrast, weight, (top - y0, left - x0), kind, local + code.filters[-1], row, column)


def enlarged(y: Tensor, code: EnlargementCode, inner: Window) -> Tensor:
    """P (R Y + F Y) on a window of ``y`` ``[C, H, W]`` float32, in compiled loops: ``[C, 2 h, 2 w]``."""
    from fractalkit.maps import enlarge_cpu as cpu
    from fractalkit.raster import average_spline_cpu as spline

    left, top, right, bottom = inner
    channels, h, w = y.shape
    # the spline reads 10 pixels on either side
    a, b, c, d = max(0, top - 12), max(0, left - 12), min(h, bottom + 12), min(w, right + 12)
    base = np.empty((channels, 2 * (bottom - top), 2 * (right - left)), np.float32)
    fine = np.empty((2 * (c - a), 2 * (d - b)), np.float32)
    for k in range(channels):
        spline.refine(np.ascontiguousarray(y[k, a:c, b:d].numpy()), fine)
        base[k] = fine[2 * (top - a) : 2 * (bottom - a), 2 * (left - b) : 2 * (right - b)]
    found = find(y, code, inner)
    if found is not None:
        base += spread(_detail(y, code, inner, found)).numpy()
    near = (max(0, top - 1), max(0, left - 1), min(h, bottom + 1), min(w, right + 1))
    low, high = bounds(y[:, near[0] : near[2], near[1] : near[3]])
    cut = (slice(None), slice(top - near[0], bottom - near[0]), slice(left - near[1], right - near[1]))
    cpu.project(base, y[:, top:bottom, left:right].numpy(), low[cut].numpy(), high[cut].numpy())
    return torch.from_numpy(base)


def _detail(y: Tensor, code: EnlargementCode, inner: Window, found: Found) -> Tensor:
    """F Y on a window, in compiled loops: ``[C, h, w, 4]``."""
    from fractalkit.maps import enlarge_cpu as cpu

    left, top, right, bottom = inner
    channels = y.shape[0]
    shape = (bottom - top, right - left)
    copies, filters = amounts(code.detail)
    copied = np.empty((*shape, channels, 4), np.float32)
    cpu.copy(cpu.details(y.numpy()), found.place, found.contrast, found.weight, *found.origin, copied)
    predicted = np.empty((*shape, 4), np.float32)
    cpu.predict(
        np.ascontiguousarray(parts_of.luma(y).numpy()), top, left, found.kind.numpy(), code.filters.numpy(),
        found.local.numpy(), found.row[0].numpy(), found.row[1].numpy(), found.column[0].numpy(),
        found.column[1].numpy(), predicted,
    )  # fmt: skip
    return copies * torch.from_numpy(copied).permute(2, 0, 1, 3) + filters * torch.from_numpy(predicted)


def detail_of(y: Tensor, found: Found, code: EnlargementCode) -> Tensor:
    """F y on the whole of ``y`` ``[C, H, W]``, in plain torch: ``[C, H, W, 4]``."""
    copies, filters = amounts(code.detail)
    c, h, w = y.shape
    detail = parts_of.details(y).reshape(c, -1, 4)
    place = torch.from_numpy(found.place).long()
    weight = torch.from_numpy(found.weight).to(y)
    strength = weight * torch.from_numpy(found.contrast).to(y)
    total, copied = y.new_zeros(h, w), y.new_zeros(c, h, w, 4)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            # ranges at p say what the pixel at p + (i, j) has
            a, b = slice(max(0, -i), h - max(0, i)), slice(max(0, -j), w - max(0, j))
            value = (detail[:, place[a, b] + 2 * (i * (w - 1) + j)] * strength[a, b][None, ..., None]).sum(3)
            copied = copied + functional.pad(value, (0, 0, max(0, j), max(0, -j), max(0, i), max(0, -i)))
            total = total + functional.pad(weight[a, b].sum(-1), (max(0, j), max(0, -j), max(0, i), max(0, -i)))
    copied = copied / total.clamp_min(1e-12)[..., None]
    f = parts_of.neighbourhoods(parts_of.luma(y), 1)
    m = code.filters.to(y)[found.kind]
    rows, columns = found.row, found.column
    local = found.local.to(y)
    for u in (0, 1):
        for v in (0, 1):
            at = (rows[0] + u).clamp(max=len(local) - 1), (columns[0] + v).clamp(max=local.shape[1] - 1)
            share = torch.outer(rows[1] if u else 1 - rows[1], columns[1] if v else 1 - columns[1]).to(y)
            m = m + share[..., None, None] * local[at[0]][:, at[1]]
    predicted = (f[..., None, :] @ m)[..., 0, :]
    predicted = predicted - predicted.mean(-1, keepdim=True)
    return copies * copied + filters * predicted


def spread(detail: Tensor) -> Tensor:
    """Quarters ``[C, H, W, 4]`` in their places: ``[C, 2H, 2W]``."""
    c, h, w, _ = detail.shape
    return detail.reshape(c, h, w, 2, 2).permute(0, 1, 3, 2, 4).reshape(c, 2 * h, 2 * w)


def bounds(y: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest values of the quarters of each pixel, ``[C, H, W]``: near those of the 3 x 3 pixels around."""
    low, high = -functional.max_pool2d(-y[None], 3, 1, 1)[0], functional.max_pool2d(y[None], 3, 1, 1)[0]
    # a picture's values end at 0 and 255; those of a code may lie beyond
    return torch.maximum(low - BEYOND, low.clamp_max(0)), torch.minimum(high + BEYOND, high.clamp_min(255))


def project(x: Tensor, y: Tensor) -> Tensor:
    """The nearest picture to x ``[C, 2H, 2W]`` whose averages are y and whose values lie within :func:`bounds`.

    The quarters v of a pixel become clip(v + tau), with the tau that gives their sum (water filling).
    """
    c, h, w = y.shape
    low, high = (v[..., None] for v in bounds(y))
    v = x.reshape(c, h, 2, w, 2).permute(0, 1, 3, 2, 4).reshape(c, h, w, 4)
    want = 4 * y[..., None]
    knots = torch.cat([low - v, high - v], -1).detach()  # between two knots the sum is linear in tau
    sums = (v.detach()[..., None, :] + knots[..., None]).clamp(low[..., None], high[..., None]).sum(-1)
    inf = torch.inf
    below = knots.masked_fill(sums > want, -inf).amax(-1, keepdim=True)
    above = knots.masked_fill(sums < want, inf).amin(-1, keepdim=True)
    middle = v.detach() + (below + above) / 2
    free = (middle > low) & (middle < high)
    count = free.sum(-1, keepdim=True)
    held = middle.clamp(low, high).masked_fill(free, 0).sum(-1, keepdim=True)
    tau = (want - held - v.masked_fill(~free, 0).sum(-1, keepdim=True)) / count.clamp_min(1)
    tau = torch.where(count > 0, tau, below)
    return spread(torch.minimum(torch.maximum(v + tau, low), high))
