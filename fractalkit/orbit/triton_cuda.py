"""The CUDA engine: one Triton program advances a block of chains; counts go to global memory by atomic additions.

Arithmetic is small; a histogram is bound by atomic additions in the second-level cache, stored points by bandwidth.
"""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from fractalkit.orbit.streams import CHAINS, MIX1, MIX2, STRIDE, Plan

# mypy: disable-error-code="no-untyped-def"

BLOCK = 128


@triton.jit
def _slot(t, key1, key2, threshold, BITS: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr, PHI: tl.constexpr):
    """The entry of the alias table that 32 hashed bits choose; the same bits as the other engines draw."""
    u = key1 + t * PHI
    u = (u ^ (u >> 16)) * M1
    u = (u ^ (u >> 15)) + key2
    u = u * M2
    u = u ^ (u >> 15)
    column = (u >> (32 - BITS)).to(tl.int32)
    fraction = u << BITS
    return 2 * column + (fraction >= tl.load(threshold + column)).to(tl.int32)


@triton.jit
def _walk(tab, threshold, pair, key1, key2, state, tone, tint, out, symbols, total, rgb, scale, shift, shape,
          t0, rows, last, speed, slots, chains, cells,
          D: tl.constexpr, BITS: tl.constexpr, STORE: tl.constexpr, SYMBOLS: tl.constexpr, COUNT: tl.constexpr,
          COLOUR: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr, PHI: tl.constexpr,
          BLOCK: tl.constexpr):  # fmt: skip
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    k1 = tl.load(key1 + lane)
    k2 = tl.load(key2 + lane)
    x = tl.load(state + lane)
    y = tl.load(state + chains + lane)
    z = x
    if D == 3:
        z = tl.load(state + 2 * chains + lane)
    red, green, blue = x, x, x
    if COLOUR:
        red = tl.load(tone + lane)
        green = tl.load(tone + chains + lane)
        blue = tl.load(tone + 2 * chains + lane)
    extra = 0
    if COUNT:  # noqa: SIM102 (known when compiling, unlike last)
        if last > 0:
            extra = 1
    wide = lane.to(tl.int64)
    for r in range(rows + extra):
        s = _slot(tl.zeros_like(k1) + (t0 + r), k1, k2, threshold, BITS, M1, M2, PHI)
        # the row past the last whole one belongs to the first ``last`` chains only
        live = ((tl.zeros_like(lane) + r) < rows) | (lane < last)
        if D == 2:
            u = tl.load(tab + s) * x + (tl.load(tab + slots + s) * y + tl.load(tab + 2 * slots + s))
            v = tl.load(tab + 3 * slots + s) * x + (tl.load(tab + 4 * slots + s) * y + tl.load(tab + 5 * slots + s))
            x, y = u, v
        else:
            u = tl.load(tab + s) * x + (
                tl.load(tab + slots + s) * y + (tl.load(tab + 2 * slots + s) * z + tl.load(tab + 3 * slots + s))
            )
            v = tl.load(tab + 4 * slots + s) * x + (
                tl.load(tab + 5 * slots + s) * y + (tl.load(tab + 6 * slots + s) * z + tl.load(tab + 7 * slots + s))
            )
            w = tl.load(tab + 8 * slots + s) * x + (
                tl.load(tab + 9 * slots + s) * y + (tl.load(tab + 10 * slots + s) * z + tl.load(tab + 11 * slots + s))
            )
            x, y, z = u, v, w
        if STORE:
            at = (tl.zeros_like(wide) + r) * chains * D + wide * D
            tl.store(out + at, x)
            tl.store(out + at + 1, y)
            if D == 3:
                tl.store(out + at + 2, z)
        if SYMBOLS:
            tl.store(symbols + (tl.zeros_like(wide) + r) * chains + wide, tl.load(pair + s).to(tl.int16))
        if COUNT:
            fx = tl.load(scale) * x + tl.load(shift)
            fy = tl.load(scale + 1) * y + tl.load(shift + 1)
            nx = tl.load(shape)
            ny = tl.load(shape + 1)
            inside = (fx >= 0) & (fx < nx) & (fy >= 0) & (fy < ny)
            index = tl.where(inside, fy, 0.0).to(tl.int64) * nx + tl.where(inside, fx, 0.0).to(tl.int64)
            if D == 3:
                fz = tl.load(scale + 2) * z + tl.load(shift + 2)
                inside = inside & (fz >= 0) & (fz < tl.load(shape + 2))
                index = tl.where(inside, fz, 0.0).to(tl.int64) * nx * ny + index
            index = tl.where(inside, index, cells)
            tl.atomic_add(total + index, tl.full((BLOCK,), 1, tl.int64), mask=live)
            if COLOUR:
                k = tl.load(pair + s)
                red = speed * tl.load(tint + 3 * k) + (1 - speed) * red
                green = speed * tl.load(tint + 3 * k + 1) + (1 - speed) * green
                blue = speed * tl.load(tint + 3 * k + 2) + (1 - speed) * blue
                tl.atomic_add(rgb + 3 * index, (red * 65536).to(tl.int64), mask=live)
                tl.atomic_add(rgb + 3 * index + 1, (green * 65536).to(tl.int64), mask=live)
                tl.atomic_add(rgb + 3 * index + 2, (blue * 65536).to(tl.int64), mask=live)
    tl.store(state + lane, x)
    tl.store(state + chains + lane, y)
    if D == 3:
        tl.store(state + 2 * chains + lane, z)
    if COLOUR:
        tl.store(tone + lane, red)
        tl.store(tone + chains + lane, green)
        tl.store(tone + 2 * chains + lane, blue)


def signed(t: int) -> int:
    """The 32 bits of a step as a signed number: a larger one would make Triton compute in 64 bits.

    >>> signed(5), signed(2**31), signed(2**32 + 1)
    (5, -2147483648, 1)
    """
    return (t + (1 << 31)) % (1 << 32) - (1 << 31)


class TritonWalker:
    """All chains, advanced on a CUDA device; the interface of the other walkers."""

    def __init__(self, plan: Plan, dtype: torch.dtype, device: torch.device) -> None:
        self.plan, self.device, self.t = plan, device, 0
        pair = plan.pair.reshape(-1)
        table = plan.maps.reshape(len(plan.maps), -1)[pair].T
        self.tab = torch.as_tensor(np.ascontiguousarray(table)).to(device, dtype)  # [D (D + 1), 2^(m+1)]
        self.pair = torch.as_tensor(pair).to(device)
        self.threshold = torch.as_tensor(plan.threshold.view(np.int32)).to(device).view(torch.uint32)
        self.key1 = torch.as_tensor(plan.key1.view(np.int32)).to(device).view(torch.uint32)
        self.key2 = torch.as_tensor(plan.key2.view(np.int32)).to(device).view(torch.uint32)
        self.state = torch.as_tensor(np.ascontiguousarray(plan.start.T)).to(device, dtype)  # [D, CHAINS]
        self.tone = torch.zeros(3, CHAINS, dtype=torch.float64, device=device)
        self._none = torch.zeros(1, dtype=dtype, device=device)

    def _launch(self, rows, *, out=None, symbols=None, count=None, last=0) -> None:
        none = self._none
        total, rgb, tint, scale, shift, shape, speed, cells = count or (none, None, none, none, none, none, 0.0, 0)
        _walk[(CHAINS // BLOCK,)](
            self.tab, self.threshold, self.pair, self.key1, self.key2, self.state, self.tone, tint,
            none if out is None else out, none if symbols is None else symbols, total, none if rgb is None else rgb,
            scale, shift, shape, signed(self.t), rows, last, speed, self.tab.shape[1], CHAINS, cells,
            D=self.plan.dim, BITS=len(self.plan.threshold).bit_length() - 1, STORE=out is not None,
            SYMBOLS=symbols is not None, COUNT=count is not None, COLOUR=rgb is not None, M1=MIX1, M2=MIX2, PHI=STRIDE,
            BLOCK=BLOCK,
        )  # fmt: skip
        self.t += rows

    def points(self, rows: int, points: Tensor, symbols: Tensor | None) -> None:
        """Write the next ``rows`` points of every chain: ``[rows, CHAINS, D]``, and their maps ``[rows, CHAINS]``."""
        self._launch(rows, out=points, symbols=symbols)

    def skip(self, rows: int, symbols: Tensor | None = None) -> None:
        """Advance without writing points; symbols ``[rows, CHAINS]`` where wanted."""
        self._launch(rows, symbols=symbols)

    def count(self, rows, last, grid, tint, speed, total, rgb) -> None:
        """Add the next ``rows`` points of every chain, and one more of the first ``last``, to host-side counts."""
        scale, shift, shape = grid
        on = self.device
        counts = torch.zeros(len(total), dtype=torch.int64, device=on)
        sums = None if rgb is None else torch.zeros(len(total), 3, dtype=torch.int64, device=on)
        self._launch(rows, last=last, count=(
            counts, sums, torch.as_tensor(tint).to(self.device), torch.as_tensor(scale).to(self.tab),
            torch.as_tensor(shift).to(self.tab), torch.as_tensor(shape).to(on), float(speed), len(total) - 1,
        ))  # fmt: skip
        total += counts.to(total.device)
        if rgb is not None and sums is not None:
            rgb += sums.to(rgb.device)
