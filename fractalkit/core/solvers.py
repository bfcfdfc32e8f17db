"""Solvers: small objects that choose the next iterate. The loop is in :mod:`fractalkit.core.solution`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from fractalkit.core.iterated_map import IteratedMap


class Solver:
    """The interface between the loop and a solver; the defaults are Picard iteration."""

    def init(self, map: IteratedMap, x: Tensor) -> Any:
        """The solver's own state before the first step."""
        return None

    def image(self, map: IteratedMap, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """T x, or the image of another operator with the same fixed point that contracts at least as fast."""
        return map.step(x), state

    def distance(self, map: IteratedMap, x: Tensor, image: Tensor) -> Tensor:
        """The residual, ``[B]``, in the map's own metric; a solver may use a cheaper one."""
        return map.distance(x, image)

    def advance(self, x: Tensor, tx: Tensor, residual: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The next iterate, given x, its image and d(x, T x) ``[B]``."""
        return tx, state


@dataclass(frozen=True)
class Picard(Solver):
    """x <- T x. Converges from anywhere, by a factor of the Lipschitz constant a step."""


class Affine(Protocol):
    """A map x -> b + w x(s), where s maps the points into themselves."""

    def affine(self) -> tuple[Tensor, Tensor, np.ndarray]:
        """b ``[B, C, ...]``, w of a shape that expands to it, and s ``[P]``: the flat point that each point reads."""


@dataclass(frozen=True)
class Squaring(Solver):
    """T, T^2, T^4, ... applied to zero, for :class:`Affine` maps: each step doubles the power.

    The square of (b, w, s) is (b + w b(s), w w(s), s s), so the cost grows with log(1 / (1 - l)) only.
    """

    def init(self, map: Any, x: Tensor) -> tuple[Tensor, Tensor, np.ndarray]:
        """The map itself, with the points as the first axis, so that indexing copies contiguous rows."""
        b, w, places = map.affine()
        n = len(places)
        return b.reshape(-1, n).T.contiguous(), w.expand(b.shape).reshape(-1, n).T.contiguous(), places

    def image(self, map: IteratedMap, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Go from T^n 0 to T^(2n) 0."""
        b, w, places = state
        at = torch.from_numpy(places).to(b.device)
        b, w = torch.addcmul(b, w, b.index_select(0, at)), w * w.index_select(0, at)
        return b.T.reshape(x.shape), (b, w, places[places])


class Sweeping(Protocol):
    """A map whose unknowns can be updated one after the other."""

    def sweep(self, x: Tensor) -> Tensor:
        """T x, each part computed from the newest values."""


@dataclass(frozen=True)
class GaussSeidel(Solver):
    """Gauss-Seidel iteration, for :class:`Sweeping` maps: at least as fast as Picard in a weighted maximum norm.

    The residual is the largest absolute change, which needs no metric of the map.
    """

    def image(self, map: Any, x: Tensor, state: None) -> tuple[Tensor, None]:
        """One sweep."""
        return map.sweep(x), None

    def distance(self, map: IteratedMap, x: Tensor, image: Tensor) -> Tensor:
        """Largest absolute change, ``[1]``."""
        return (x - image).abs().amax()[None]


@dataclass
class _History:
    xs: list[Tensor] = field(default_factory=list)  # flattened iterates, [B, n] each
    gs: list[Tensor] = field(default_factory=list)  # their images
    least: Tensor | None = None  # [B] smallest residual so far


@dataclass(frozen=True)
class Anderson(Solver):
    """Anderson acceleration (1965; Walker and Ni, SIAM J. Numer. Anal. 49, 2011, type II), item by item.

    The next iterate is the combination of the last ``memory`` images whose residuals combine to least squares, with a
    ridge relative to the residuals' size. Safeguard: an item whose residual has grown to ``growth`` times its least so
    far takes a plain step and forgets its history, so that the contraction's own convergence is never lost.
    """

    memory: int = 5
    ridge: float = 1e-10
    growth: float = 2.0

    def init(self, map: IteratedMap, x: Tensor) -> _History:
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
            # a history of copies of the present iterate counts as empty: the ridge ignores it
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


SOLVERS: dict[str, type[Picard] | type[Anderson]] = {"picard": Picard, "anderson": Anderson}
