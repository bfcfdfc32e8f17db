"""The Markov operator on a pixel grid: the invariant measure of a code, without noise and differentiable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from einops import repeat
from torch import Tensor

from fractalkit.codes.affine import AffineIFS
from fractalkit.core import IteratedMap, Window, fixed_point
from fractalkit.errors import DataError, UsageError

MAX_SIDE = 4096


class MeasureMap(IteratedMap):
    """T mu = Σ p_k mu∘f_k^-1 on masses at the centres of an H x W grid: fixed point, the picture of the measure.

    Each centre's mass moves to its image under f_k and is shared among the four centres about it, bilinearly, so that
    mass and first moments are kept: exact for affine maps but for the rounding to the grid. Mass that would leave the
    window gathers at its edge. Elements ``[H, W]`` are arrays whose sum is made one by adding what they lack at the
    middle of the grid, so that T is defined, and contracts, everywhere.

    Bilinear interpolation keeps a function's Lipschitz constants along both axes, (L_x, L_y), and composition with f_k
    turns them into |A_k|^T (L_x, L_y), entry by entry. So by Kantorovich duality T contracts the Wasserstein distance
    of the ground metric v_x |dx| + v_y |dy| by the spectral radius r of Σ p_k |A_k| (in units of cells), with v its
    left eigenvector. As that distance and the l1 norm bound each other on a grid of diameter D (cell 1), the l1 norm of
    T^J u is at most 2 D c r^J times that of u for all differences u, c = v_max / v_min, and

        d(x, y) = Σ_{j < J} rho^-j ||T^j (x - y)||_1,    rho = sqrt(r),   J = ceil(log(2 D c) / log(rho / r)),

    is a norm in which T contracts by rho. About log(H) / log(1 / r) steps reach a cell's precision.

    Args:
        ifs: a code of the plane, contractive on average; gradients flow to all its tensors.
        shape: (H, W).
        low, high: corners ``[2]`` of the window, x first; None frames the attractor. Row 0 is at the lowest y.
        proven: refuse a code for which r is 1 or more. Else Σ p_k ||A_k|| < 1 is enough, which says that measures
            converge, but not below the size of a cell; it is then taken for r.

    Raises:
        DataError: a code in space, or one that does not contract on average.
        UsageError: a grid that is too small or too large, or an empty window.

    >>> half = torch.eye(2, dtype=torch.float64).expand(4, 2, 2) / 2
    >>> corners = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]], dtype=torch.float64)
    >>> square = MeasureMap(AffineIFS(half, corners), (8, 8), torch.zeros(2), torch.ones(2))
    >>> bool((square.render() * 64 - 1).abs().max() < 1e-6)
    True
    """

    exact_lift = False

    def __init__(
        self, ifs: AffineIFS, shape: tuple[int, int], low: Tensor | None = None, high: Tensor | None = None, *,
        proven: bool = True,
    ) -> None:  # fmt: skip
        h, w = shape
        if ifs.dim != 2:
            raise DataError(f"measure: expected a code of the plane, got one of {ifs.dim} dimensions")
        if not (2 <= h <= MAX_SIDE and 2 <= w <= MAX_SIDE):
            raise UsageError(f"shape: expected 2 to {MAX_SIDE} cells a side, got {h} x {w}")
        if low is None or high is None:
            low, high = window_of(ifs)
        self.ifs, self.shape = ifs, (h, w)
        self.low, self.high = low.to(ifs.matrices), high.to(ifs.matrices)
        if not bool((self.high > self.low).all()):
            raise UsageError("window: expected low below high")
        self.cell = (self.high - self.low) / torch.tensor([w, h], dtype=ifs.matrices.dtype, device=self.low.device)
        scaled = ifs.matrices.detach() * self.cell[None, None, :] / self.cell[None, :, None]  # in units of cells
        p = ifs.probabilities.detach().cpu().double()
        self.proven = proven
        self.rate, spread = _weighted_rate(torch.einsum("k,kij->ij", p, scaled.cpu().double().abs()))
        if not self.rate < 1 and not proven:
            self.rate, spread = float(p @ ifs.norms()), 2.0
        if not self.rate < 1:
            raise DataError(
                f"measure: the code does not contract on average (the spectral radius of Σ p |A| is {self.rate:.4g}); "
                "a power of the code, or another choice of axes, may"
            )
        logs = math.log(2.0 * (h + w) * spread)
        self._sums = max(1, math.ceil(logs / math.log(self.rate**-0.5))) if self.rate > 0 else 1
        self._where, self._share = self._weights()

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Flat targets and shares of each (map, corner, cell): ``[K, 4, H W]``; shares carry the gradient."""
        h, w = self.shape
        a, dev = self.ifs.matrices, self.ifs.matrices.device
        y, x = torch.meshgrid(
            torch.arange(h, dtype=a.dtype, device=dev), torch.arange(w, dtype=a.dtype, device=dev), indexing="ij"
        )
        points = self.low + (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * self.cell  # [H W, 2]
        images = (self.ifs.hutchinson(points) - self.low) / self.cell - 0.5  # [K, H W, 2] in cells
        px, py = images[..., 0].clamp(0, w - 1), images[..., 1].clamp(0, h - 1)
        x0, y0 = px.detach().floor().clamp(max=w - 2), py.detach().floor().clamp(max=h - 2)
        fx, fy = px - x0, py - y0
        base = (y0 * w + x0).long()
        where = torch.stack([base, base + 1, base + w, base + w + 1], 1)
        share = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], 1)
        return where, share * self.ifs.probabilities[:, None, None]

    def start(self) -> Tensor:
        """The uniform measure, ``[H, W]``."""
        h, w = self.shape
        return torch.full(self.shape, 1 / (h * w), dtype=self.ifs.matrices.dtype, device=self.ifs.matrices.device)

    def step(self, x: Tensor) -> Tensor:
        """T x: ``[H, W]`` of any sum -> ``[H, W]`` of sum one."""
        return self._linear(x, 1 - x.sum())

    def _linear(self, x: Tensor, lacking: Tensor | float) -> Tensor:
        h, w = self.shape
        flat = x.reshape(-1)
        middle = torch.zeros_like(flat)
        middle[(h // 2) * w + w // 2] = 1
        flat = flat + lacking * middle
        moved = (self._share * flat).reshape(-1)
        return torch.zeros_like(flat).index_add(0, self._where.reshape(-1), moved).reshape(h, w)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Σ_j rho^-j ||T^j (x - y)||_1, ``[1]``: an upper bound on the l1 distance, equivalent to it."""
        u = x - y
        total = u.abs().sum()
        for j in range(1, self._sums):
            u = self._linear(u, -u.sum())
            total = total + self.rate ** (-0.5 * j) * u.abs().sum()
        return total[None]

    def lipschitz(self) -> Tensor:
        """The square root of r, ``[1]``."""
        return torch.full((1,), max(self.rate, 1e-12) ** 0.5, dtype=self.ifs.matrices.dtype, device=self.low.device)

    def level(self) -> tuple[str, int, int]:
        """The shape of the grid."""
        return "measure", *self.shape

    def needs(self, window: Window | None) -> list[tuple[IteratedMap, Window | None]] | None:
        """The same window on a grid with half as many cells per side."""
        h, w = self.shape
        if h % 2 or w % 2 or min(h, w) < 8:
            return None
        return [(MeasureMap(self.ifs, (h // 2, w // 2), self.low, self.high, proven=self.proven), None)]

    def lift(self, parts: Sequence[Tensor], window: Window | None) -> Tensor:
        """Each coarse cell's mass in four equal parts: a start that the steps improve."""
        return repeat(parts[0], "h w -> (h a) (w b)", a=2, b=2) / 4

    def solve_options(self) -> dict[str, Any]:
        """Take as many steps as reach a thousandth of a cell; measuring the residual would cost more than the steps."""
        return {"steps": max(8, math.ceil(math.log(1e-3) / math.log(max(self.rate, 1e-3))))}

    def render(self) -> Tensor:
        """The measure ``[H, W]``, of sum one, to a thousandth of a cell: coarse grids first, few steps on each.

        Differentiable in the code through the last steps; the number of steps grows with log(H).
        """
        return fixed_point(self).clamp_min(0)  # rounding may leave -1e-20 somewhere


def _weighted_rate(m: Tensor) -> tuple[float, float]:
    """The spectral radius of a non-negative matrix ``[2, 2]``, and the ratio of the entries of its left eigenvector."""
    (a, b), (c, d) = m.tolist()
    b, c = b + 1e-6, c + 1e-6  # an eigenvector without zeros
    r = (a + d) / 2 + math.sqrt(((a - d) / 2) ** 2 + b * c)
    ratio = c / (r - a)  # of v in v M = r v: v_x a + v_y c = r v_x
    return r, max(ratio, 1 / ratio)


def window_of(ifs: AffineIFS, margin: float = 0.02) -> tuple[Tensor, Tensor]:
    """Corners ``[2]`` of a window that provably contains the attractor of a planar code."""
    from fractalkit.codes.bounds import bounding_box

    low, high = bounding_box(ifs)
    pad = margin * (high - low).max().clamp_min(1e-6)
    return low - pad, high + pad
