"""The map of a picture that copies its own earlier pixels.

    (T x)(p) = e(p) + x(s(p)),        s(p) an earlier pixel, or (T x)(p) = e(p) where there is none.

No pixel is among its own sources, so the graph p -> s(p) has no cycle. With n(p) the number of copies from p back to a
pixel without a source and D the largest n(p), T is affine, its matrix N is nilpotent, N^(D+1) = 0, and x is the only
fixed point. In the metric

    d(x, y) = max_p l^n(p) |x(p) - y(p)|

T contracts by any l in (0, 1): l^n(p) |x(s(p)) - y(s(p))| = l l^n(s(p)) |x(s(p)) - y(s(p))| <= l d(x, y). Here
l = 10^(-6 / D), so that no weight is below 10^-6.

One sweep in the order of the pixels solves it, as a triangular system; squaring solves it in log2(D) steps.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fractalkit.codes.copies import CopyCode, CopyStrip
from fractalkit.core import GaussSeidel, IteratedMap, Window, fixed_point
from fractalkit.errors import UsageError
from fractalkit.raster.area import resample
from fractalkit.raster.part import Part

LEAST = 1e-6  # smallest weight of the metric
FEW = 256  # colours up to which an enlarged pixel stays a square
MAX_OUTPUT = 1 << 29  # samples of a picture in memory


class CopyMap(IteratedMap):
    """The map of one strip of a picture, ``[C, H, W]``, in sample values.

    :meth:`sweep` is a compiled loop; :meth:`step`, in plain torch on any device, is its twin.
    """

    def __init__(self, strip: CopyStrip, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        self.strip, self.dtype, self.device = strip, dtype, device

    def whole(self) -> Window:
        """(0, 0, width, height)."""
        h, w = self.strip.source.shape
        return 0, 0, w, h

    def solve_options(self) -> dict[str, Any]:
        """One sweep solves the map; the second finds no change."""
        return {"solver": GaussSeidel(), "residual": 0.5, "max_steps": 2}

    def sweep(self, x: Tensor) -> Tensor:
        """Compute each pixel from the newest value of its source."""
        from fractalkit.maps import copies_cpu as cpu

        out = np.empty(tuple(x.shape), np.float32)
        cpu.sweep(self.strip.source, np.ascontiguousarray(self.strip.difference), out)
        return torch.from_numpy(out).to(self.device, self.dtype)

    def start(self) -> Tensor:
        """The differences."""
        return self._given.clone()

    def step(self, x: Tensor) -> Tensor:
        """e + x(s), ``[C, H, W]``."""
        copied = x.reshape(len(x), -1)[:, self._source.clamp_min(0)]
        return self._given + (copied * (self._source >= 0)).reshape(x.shape)

    def affine(self) -> tuple[Tensor, Tensor, np.ndarray]:
        """e, which pixels have a source, and the sources, for :class:`fractalkit.core.solvers.Squaring`."""
        source = self.strip.source.reshape(-1).astype(np.int64)
        own = np.where(source >= 0, source, np.arange(len(source)))
        copied = torch.from_numpy(source >= 0).to(self.device, self.dtype)
        return self._given[None], copied.reshape(1, 1, *self.strip.source.shape), own

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """max_p l^n(p) |x(p) - y(p)|, ``[1]``."""
        rate = float(self.lipschitz()) or LEAST
        return ((x - y).abs() * (rate**self._copies).to(x)).amax()[None]

    def lipschitz(self) -> Tensor:
        """l, ``[1]``; 0 if nothing is copied, as the map is constant then."""
        deepest = int(self._copies.max())
        return torch.full((1,), LEAST ** (1 / deepest) if deepest else 0.0, dtype=self.dtype, device=self.device)

    @cached_property
    def _copies(self) -> Tensor:
        """n(p): copies from each pixel back to one without a source, ``[H, W]`` float64."""
        from fractalkit.maps import copies_cpu as cpu

        return torch.from_numpy(cpu.copies(self.strip.source)).to(self.device, torch.float64)

    @cached_property
    def _given(self) -> Tensor:
        return torch.from_numpy(self.strip.difference).permute(2, 0, 1).to(self.device, self.dtype)

    @cached_property
    def _source(self) -> Tensor:
        return torch.from_numpy(self.strip.source.reshape(-1).astype(np.int64)).to(self.device)


def decode_part(code: CopyCode, part: Part) -> np.ndarray:
    """A part of a picture, ``[H, W]`` or ``[H, W, C]`` uint8 or uint16, at any size.

    Reduced, it is averaged by area. Enlarged, it is interpolated; but if it has few colours, as drawings and text do,
    each pixel stays a square.

    Raises:
        UsageError: a result too large for memory.
    """
    if part.height * part.width * code.channels > MAX_OUTPUT:
        gib = part.height * part.width * code.channels * code.depth / 8 / 2**30
        raise UsageError(
            f"size {part.width} x {part.height} would take {gib:.1f} GiB and more; decode windows of it instead"
        )
    left, top, right, bottom = part.outer((code.width, code.height), 2)
    shape = (bottom - top, right - left, code.channels)
    out = np.zeros(shape, np.uint8 if code.depth == 8 else np.uint16)
    for index, (y0, y1) in enumerate(code.rows):
        a, b = max(y0, top), min(y1, bottom)
        if a < b:
            x = fixed_point(CopyMap(code.strips[index]), (left, a - y0, right, b - y0))
            out[a - top : b - top] = x.permute(1, 2, 0).numpy()
    if code.channels == 1:
        out = out[..., 0]
    x0, y0_, x1, y1_ = part.box
    box = (x0 - left, y0_ - top, x1 - left, y1_ - top)
    if box == (0, 0, shape[1], shape[0]) and shape[:2] == (part.height, part.width):
        return out
    if 0 < code.colours <= FEW and part.height >= y1_ - y0_ and part.width >= x1 - x0:
        return _squares(out, part, box)
    return resample(out, part.height, part.width, box)


def _squares(a: np.ndarray, part: Part, box: tuple[float, float, float, float]) -> np.ndarray:
    """The pixel of ``a`` below the centre of each pixel of the part."""
    rows, columns = (
        np.clip((low + (high - low) * (np.arange(n) + 0.5) / n).astype(np.int64), 0, size - 1)
        for low, high, n, size in ((box[1], box[3], part.height, a.shape[0]), (box[0], box[2], part.width, a.shape[1]))
    )
    return a[rows[:, None], columns]
