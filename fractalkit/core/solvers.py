"""Solvers: small objects that say where to look next. The loop that drives them is in :mod:`fractalkit.core.solve`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor


class Solver(Protocol):
    """What the loop asks of a solver: a state at the start, then a next iterate from (x, T x)."""

    def init(self, x: Tensor) -> Any:
        """The solver's own state before the first step."""

    def advance(self, x: Tensor, tx: Tensor, residual: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The next iterate, given x, T x and d(x, T x) ``[B]``."""


@dataclass(frozen=True)
class Picard:
    """x <- T x. Converges from anywhere, by a factor of the Lipschitz constant a step."""

    def init(self, x: Tensor) -> None:
        """Picard iteration remembers nothing."""

    def advance(self, x: Tensor, tx: Tensor, residual: Tensor, state: None) -> tuple[Tensor, None]:
        """T x itself."""
        return tx, None


@dataclass
class _History:
    xs: list[Tensor] = field(default_factory=list)  # flattened iterates, [B, n] each
    gs: list[Tensor] = field(default_factory=list)  # their images
    least: Tensor | None = None  # [B] smallest residual so far


@dataclass(frozen=True)
class Anderson:
    """Anderson acceleration (1965; Walker and Ni, SIAM J. Numer. Anal. 49, 2011, type II), item by item.

    The next iterate is the combination of the last ``memory`` images whose residuals combine to least squares, with a
    ridge relative to the residuals' size. Safeguard: an item whose residual has grown to ``growth`` times its least so
    far takes a plain step and forgets its history, so that the contraction's own convergence is never lost.
    """

    memory: int = 5
    ridge: float = 1e-10
    growth: float = 2.0

    def init(self, x: Tensor) -> _History:
        """An empty history."""
        return _History()

    def advance(self, x: Tensor, tx: Tensor, residual: Tensor, state: _History) -> tuple[Tensor, _History]:
        """The accelerated iterate where it is safe, T x elsewhere."""
        batch = residual.shape[0]
        flat_x, flat_g = x.reshape(batch, -1), tx.reshape(batch, -1)
        least = residual if state.least is None else torch.minimum(state.least, residual)
        grown = residual > self.growth * least
        xs, gs = [*state.xs, flat_x][-self.memory :], [*state.gs, flat_g][-self.memory :]
        if bool(grown.any()):
            # a forgotten history is one made of copies of the present, which the ridge then ignores
            keep = grown[:, None]
            xs = [torch.where(keep, flat_x, old) for old in xs]
            gs = [torch.where(keep, flat_g, old) for old in gs]
        new = _History(xs, gs, torch.where(grown, residual, least))
        m = len(xs)
        if m == 1:
            return tx, new
        f = torch.stack([g - v for g, v in zip(gs, xs, strict=True)], dim=1)  # [B, m, n] residuals
        delta = f[:, 1:] - f[:, :-1]  # [B, m-1, n]
        gram = delta @ delta.mT  # [B, m-1, m-1]
        size = gram.diagonal(dim1=1, dim2=2).amax(dim=1).clamp_min(torch.finfo(x.dtype).tiny)
        gram = gram + (self.ridge * size)[:, None, None] * torch.eye(m - 1, dtype=x.dtype, device=x.device)
        gamma, info = torch.linalg.solve_ex(gram, delta @ f[:, -1, :, None])  # [B, m-1, 1]
        g = torch.stack(gs, dim=1)
        mixed = flat_g - ((g[:, 1:] - g[:, :-1]).mT @ gamma).squeeze(-1)
        plain = grown | (info != 0) | ~torch.isfinite(mixed).all(dim=1)
        return torch.where(plain[:, None], flat_g, mixed).reshape(x.shape), new


@dataclass(frozen=True)
class CoarseFirst:
    """Solve the coarser map first, lift its fixed point, then polish with ``inner``.

    Where pooling commutes with the step (collages, see the design) the lift is exact and one step confirms it. The loop
    recurses through :meth:`IteratedMap.coarse`; a map without a coarser level is simply solved by ``inner``.
    """

    inner: Solver = field(default_factory=Picard)

    def init(self, x: Tensor) -> Any:
        """The inner solver's state."""
        return self.inner.init(x)

    def advance(self, x: Tensor, tx: Tensor, residual: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The inner solver's step."""
        return self.inner.advance(x, tx, residual, state)


SOLVERS: dict[str, type[Picard] | type[Anderson] | type[CoarseFirst]] = {
    "picard": Picard,
    "anderson": Anderson,
    "coarse-first": CoarseFirst,
}
