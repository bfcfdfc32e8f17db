"""The plain engine: eager torch, any device, float32 or float64. Slow and clear; the others are tested against it."""

from __future__ import annotations

import torch
from torch import Tensor

from fractalkit.orbit.streams import CHAINS, MIX1, MIX2, STRIDE, Plan, finest

_MASK = 0xFFFFFFFF


class TorchWalker:
    """All chains, advanced together, one eager step at a time."""

    def __init__(self, plan: Plan, dtype: torch.dtype, device: torch.device) -> None:
        self.plan = plan
        self.maps = torch.as_tensor(plan.maps).to(dtype).to(device)  # [K, D, D + 1]
        self.threshold = torch.as_tensor(plan.threshold.astype("int64")).to(device)
        self.pair = torch.as_tensor(plan.pair.astype("int64")).to(device)
        self.bits = len(plan.threshold).bit_length() - 1
        self.key1 = torch.as_tensor(plan.key1.astype("int64")).to(device)
        self.key2 = torch.as_tensor(plan.key2.astype("int64")).to(device)
        self.x = torch.as_tensor(plan.start).to(dtype).to(device)  # [CHAINS, D]
        self.t = 0
        self.tone = torch.zeros(3, CHAINS, dtype=finest(device), device=device)  # the running colour of each chain
        self.symbols = torch.zeros(CHAINS, dtype=torch.int64, device=device)

    def _draw(self) -> Tensor:
        """Map indices ``[CHAINS]`` of this step; 32-bit arithmetic in int64."""
        u = (self.key1 + (self.t * STRIDE & _MASK)) & _MASK
        u = ((u ^ (u >> 16)) * MIX1) & _MASK
        u = ((u ^ (u >> 15)) + self.key2) & _MASK
        u = (u * MIX2) & _MASK
        u = u ^ (u >> 15)
        column, fraction = u >> (32 - self.bits), (u << self.bits) & _MASK
        return self.pair[column, (fraction >= self.threshold[column]).long()]

    def step(self) -> Tensor:
        """Advance every chain; points ``[CHAINS, D]``."""
        k = self.symbols = self._draw()
        m = self.maps[k]  # [CHAINS, D, D + 1]
        d = self.plan.dim
        y = m[:, :, d]
        for c in range(d - 1, -1, -1):
            y = m[:, :, c] * self.x[:, c, None] + y
        self.x = y
        self.t += 1
        return y

    def points(self, rows: int, points: Tensor, symbols: Tensor | None) -> None:
        """Write the next ``rows`` points of every chain: ``[rows, CHAINS, D]``, and their maps ``[rows, CHAINS]``."""
        for r in range(rows):
            points[r] = self.step()
            if symbols is not None:
                symbols[r] = self.symbols.to(symbols.dtype)

    def skip(self, rows: int, symbols: Tensor | None = None) -> None:
        """Advance without writing points; symbols ``[rows, CHAINS]`` where wanted."""
        for r in range(rows):
            self.step()
            if symbols is not None:
                symbols[r] = self.symbols.to(symbols.dtype)

    def count(self, rows: int, last: int, grid: tuple, tint, speed: float, total: Tensor, rgb: Tensor | None) -> None:  # type: ignore[no-untyped-def, type-arg]
        """Add the next ``rows`` points of every chain, and one more of the first ``last``, to counts ``[cells + 1]``.

        ``grid`` is (scale, shift, shape) per coordinate, x first; ``rgb [cells + 1, 3]`` int64 in units of 2^-16.
        """
        scale, shift = (torch.as_tensor(g).to(self.x.dtype).to(self.x.device) for g in grid[:2])
        shape = torch.as_tensor(grid[2]).to(self.x.device)
        colours = torch.as_tensor(tint).to(self.tone.dtype).to(self.x.device).T  # [3, K]
        cells = len(total) - 1
        for r in range(rows + (last > 0)):
            t = self.t
            f = scale * self.step() + shift  # [CHAINS, D]
            inside = ((f >= 0) & (f < shape)).all(dim=1)
            cell = torch.where(inside[:, None], f, torch.zeros_like(f)).long()
            index = cell[:, -1]
            for c in range(self.plan.dim - 2, -1, -1):
                index = index * shape[c] + cell[:, c]
            index = torch.where(inside, index, cells)
            live = slice(None) if r < rows else slice(0, last)
            total += torch.bincount(index[live], minlength=cells + 1).to(total.device)
            if rgb is not None:
                self.tone = speed * colours[:, self.symbols] + (1 - speed) * self.tone
                fixed = (self.tone * 65536).long().T[live]
                rgb.index_add_(0, index[live].to(rgb.device), fixed.to(rgb.device))
            self.t = t + 1
        self.t -= last > 0
