"""The one verb: find a contraction's fixed point, and say how near it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fractalkit.core.adjoint import Adjoint, Implicit, Unrolled
from fractalkit.core.iterated_map import IteratedMap
from fractalkit.core.solvers import SOLVERS, CoarseFirst, Picard, Solver
from fractalkit.errors import DataError, FractalKitError, UsageError


class ConvergenceError(FractalKitError, RuntimeError):
    """Raised by ``solve(..., throw=True)`` when the fixed point was not reached; the message says why."""


@dataclass(frozen=True)
class Step:
    """What a callback sees after each step."""

    step: int
    x: Tensor
    residual: Tensor  # [B] d(previous x, T of it)
    error_bound: Tensor  # [B] upper bound on d(x, x*) by the collage theorem


@dataclass(frozen=True)
class Solution:
    """A fixed point, or the nearest the solver came.

    Attributes:
        value: the last iterate.
        steps: applications of T at full size (each coarser level counts its own, and is not in here).
        residual: d(x, T x) at the last point tested, ``[B]``.
        error_bound: the collage theorem's bound on d(value, x*), ``[B]``.
        converged: whether ``error_bound <= tol`` for every item.
        message: one sentence, for people.
    """

    value: Tensor
    steps: int
    residual: Tensor
    error_bound: Tensor
    converged: bool
    message: str


def solve(
    map: IteratedMap,
    x0: Tensor | None = None,
    *,
    solver: Solver | str = "picard",
    tol: float = 1e-6,
    max_steps: int = 1000,
    adjoint: Adjoint | None = None,
    callback: Callable[[Step], bool | None] | None = None,
    throw: bool = False,
) -> Solution:
    """Find the fixed point of a contraction.

    Stops when the collage theorem proves every item of the batch to be within ``tol`` of its fixed point: after a step
    from x to T x, d(T x, x*) <= l / (1 - l) d(x, T x). Rounding bounds what can be reached; where the residual no
    longer falls, ask for less.

    Args:
        map: the contraction.
        x0: where to begin; ``map.start()`` when None. With CoarseFirst an x0 is taken as it is and nothing is lifted.
        solver: an object of :mod:`fractalkit.core.solvers`, or "picard", "anderson", "coarse-first".
        tol: largest distance to the fixed point, in the map's own metric; above 0.
        max_steps: applications of T allowed; at least 1.
        adjoint: :class:`Unrolled` (the default) or :class:`Implicit`.
        callback: called with a :class:`Step` after each step; returning True stops the loop.
        throw: raise :class:`ConvergenceError` instead of returning a failure.

    Raises:
        UsageError: an unknown solver, a tolerance or a number of steps out of range.
        DataError: the map does not contract (its Lipschitz bound is 1 or more, or not a number).
        ConvergenceError: only with ``throw``.
    """
    if isinstance(solver, str):
        if solver not in SOLVERS:
            raise UsageError(f"solver: unknown name {solver!r}, choose one of {', '.join(SOLVERS)}")
        solver = SOLVERS[solver]()
    if not (tol > 0 and math.isfinite(tol)):
        raise UsageError(f"tol: expected a positive number, got {tol}")
    if max_steps < 1:
        raise UsageError(f"max_steps: expected at least 1, got {max_steps}")
    adjoint = adjoint or Unrolled()
    rate = map.lipschitz()
    if not bool((rate < 1).all()):
        raise DataError(
            f"{type(map).__name__}: its Lipschitz bound is {float(rate.max()):.6g}, so it need not have a fixed point; "
            "it must be below 1"
        )
    if isinstance(adjoint, Implicit):
        with torch.no_grad():
            solution = _descend(map, x0, solver, tol, max_steps, callback)
        solution = replace(solution, value=_attach(map, solution.value, adjoint))
    else:
        solution = _descend(map, x0, solver, tol, max_steps, callback)
    if throw and not solution.converged:
        raise ConvergenceError(solution.message)
    return solution


def _descend(map, x0, solver, tol, max_steps, callback) -> Solution:  # type: ignore[no-untyped-def]
    """Begin at the coarsest level where the solver asks for it, else right here."""
    if x0 is None:
        coarse = map.coarse() if isinstance(solver, CoarseFirst) else None
        x0 = map.start() if coarse is None else map.lift(_descend(coarse, None, solver, tol, max_steps, None).value)
    return _iterate(map, x0, solver, tol, max_steps, callback)


def _iterate(map, x, solver, tol, max_steps, callback) -> Solution:  # type: ignore[no-untyped-def]
    rate = map.lipschitz().detach()
    state = solver.init(x)
    plain = isinstance(solver, Picard) or (isinstance(solver, CoarseFirst) and isinstance(solver.inner, Picard))
    message, residual, bound = "", rate, rate
    for step in range(1, max_steps + 1):
        tx = map.step(x)
        with torch.no_grad():
            residual = map.distance(x, tx)  # [B]
            bound = residual * rate / (1 - rate)  # of T x
        if not bool(torch.isfinite(residual).all()):
            message = f"stopped at step {step}: the residual is not finite; check the code and the start for NaN"
            x = tx
            break
        done = bool((bound <= tol).all())
        # The bound proves T x good; an accelerated iterate is only a guess, so the loop ends on T x.
        x, state = (tx, state) if done or plain else solver.advance(x, tx, residual, state)
        stop = callback is not None and callback(Step(step, x, residual, bound))
        if done:
            return Solution(x, step, residual, bound, True, f"converged in {step} step{'s' * (step > 1)}")
        if stop:
            message = f"stopped by the callback after {step} step{'s' * (step > 1)}"
            break
    else:
        step = max_steps
        message = (
            f"ran out of steps: after {max_steps} the error is at most {float(bound.max()):.3g}, tol is {tol:.3g}; "
            "raise max_steps or tol"
        )
        x = tx
    return Solution(x, step, residual, bound, False, message)


class _FixedPoint(torch.autograd.Function):
    """Identity forward; backward turns u into (I - J^T)^-1 u by iterating v <- u + J^T v."""

    @staticmethod
    def forward(ctx, image, point, fixed, adjoint):  # type: ignore[no-untyped-def]
        ctx.image_of, ctx.point, ctx.adjoint = fixed, point, adjoint
        return image.clone()

    @staticmethod
    def backward(ctx, u):  # type: ignore[no-untyped-def]
        v = u
        limit = ctx.adjoint.tol * max(float(u.abs().max()), torch.finfo(u.dtype).tiny)
        for _ in range(ctx.adjoint.max_steps):
            (jv,) = torch.autograd.grad(ctx.image_of, ctx.point, v, retain_graph=True, allow_unused=True)
            new = u if jv is None else u + jv
            change = float((new - v).abs().max())
            v = new
            if change <= limit:
                return v, None, None, None
        raise ConvergenceError(
            f"the implicit gradient did not converge in {ctx.adjoint.max_steps} products; raise Implicit.max_steps"
        )


def _attach(map: IteratedMap, value: Tensor, adjoint: Implicit) -> Tensor:
    """The fixed point with its implicit gradient: a last step carries dT/dc, the function above the inverse."""
    if not torch.is_grad_enabled():
        return value
    image = map.step(value.detach())
    if not image.requires_grad:
        return value
    point = value.detach().requires_grad_()
    with torch.enable_grad():
        jacobian_image = map.step(point)
    return _FixedPoint.apply(image, point, jacobian_image, adjoint)
