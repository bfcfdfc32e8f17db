"""The one verb: find the fixed point of a contraction, with a bound on the error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fractalkit.arguments import verb
from fractalkit.core.adjoint import Adjoint, Implicit
from fractalkit.core.iterated_map import FunctionMap, IteratedMap
from fractalkit.core.solvers import SOLVERS, Solver
from fractalkit.errors import DataError, FractalKitError, UsageError


class ConvergenceError(FractalKitError, RuntimeError):
    """Raised by ``solve(..., throw=True)`` when the fixed point was not reached; the message says why."""


@dataclass(frozen=True)
class Step:
    """The argument of a callback after each step."""

    step: int
    x: Tensor
    residual: Tensor  # [B] d(previous x, T of it)
    error_bound: Tensor  # [B] upper bound on d(x, x*) by the collage theorem


@dataclass(frozen=True)
class Solution:
    """The result of :func:`solve`: the fixed point, or the last iterate if it was not reached.

    Attributes:
        value: the last iterate.
        steps: applications of T.
        residual: d(x, T x) at the last point tested, ``[B]``.
        error_bound: the collage theorem's bound on d(value, x*), ``[B]``.
        converged: whether ``error_bound <= tol`` for every item, or the other rule asked for was met.
        message: one sentence for the user.
    """

    value: Tensor
    steps: int
    residual: Tensor
    error_bound: Tensor
    converged: bool
    message: str


@verb(
    dict.fromkeys(("max_iter", "max_iters", "max_iterations", "maxiter"), "max_steps"),
    {"tolerance": "tol", "eps": "tol", "atol": "tol", "init": "x0", "start": "x0"},
)
def solve(
    map: IteratedMap | Callable[[Any], Any],
    x0: Any = None,
    *,
    solver: Solver | str = "picard",
    tol: float | None = 1e-6,
    residual: float | None = None,
    steps: int | None = None,
    max_steps: int = 1000,
    adjoint: Adjoint | None = None,
    callback: Callable[[Step], bool | None] | None = None,
    throw: bool = False,
) -> Solution:
    """Find the fixed point of a contraction.

    Stops when the collage theorem proves every item of the batch to be within ``tol`` of its fixed point: after a step
    from x to T x, d(T x, x*) <= l / (1 - l) d(x, T x). Rounding limits the precision; if the residual no
    longer falls, raise ``tol``. For a map without a Lipschitz bound, ``tol`` limits the residual d(x, T x), and nothing
    bounds the error. ``residual`` and ``steps`` are weaker and cheaper stopping rules, for maps whose
    Lipschitz constant or metric is expensive; neither needs l.

    Args:
        map: the contraction; or a function of a tensor, or of an array where ``x0`` is one.
        x0: where to begin; ``map.start()`` when None. A function needs it: a tensor, an array or a number.
        solver: an object of :mod:`fractalkit.core.solvers`, or "picard", "anderson".
        tol: largest distance to the fixed point, in the map's own metric, above 0; None for rounding error,
            10 eps d(0, T 0) / (1 - l), of a map on a vector space.
        residual: stop when d(x, T x) falls below this instead, with no bound on the error.
        steps: take exactly this many steps, without measuring the residual.
        max_steps: applications of T allowed; at least 1.
        adjoint: :class:`Unrolled` (the default) or :class:`Implicit`.
        callback: called with a :class:`Step` after each step; returning True stops the loop.
        throw: raise :class:`ConvergenceError` instead of returning a failure.

    Raises:
        UsageError: an unknown solver, a tolerance or a number of steps out of range.
        DataError: the map does not contract (its Lipschitz bound is 1 or more, or not a number).
        ConvergenceError: only with ``throw``.
    """
    solver = _solver(solver)
    map, x0 = _begun(map, x0)
    for name, value in (("tol", tol), ("residual", residual)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UsageError(f"{name}: expected a positive number, got {value}")
    for name, number in (("max_steps", max_steps), ("steps", steps)):
        if number is not None and number < 1:
            raise UsageError(f"{name}: expected at least 1, got {number}")
    if steps is not None:
        rule = _Rule(None, math.inf, steps)
    elif residual is not None:
        rule = _Rule(None, residual, max_steps)
    else:
        rate = _rate(map) if map.bounded else None
        rule = _Rule(rate, _rounding(map, x0, rate) if tol is None else tol, max_steps)
    if isinstance(adjoint, Implicit):
        with torch.no_grad():
            solution = _iterate(map, x0, solver, rule, callback, measure=steps is None)
        solution = replace(solution, value=_attach(map, solution.value, adjoint))
    else:
        solution = _iterate(map, x0, solver, rule, callback, measure=steps is None)
    if throw and not solution.converged:
        raise ConvergenceError(solution.message)
    return solution


def _begun(map: Any, x0: Any) -> tuple[IteratedMap, Tensor]:
    """The map, of a function too, and where to begin."""
    if not isinstance(map, IteratedMap):
        if not callable(map):
            raise UsageError(f"solve: expected an IteratedMap or a function, got {type(map).__name__}")
        if x0 is None:
            raise UsageError("solve: a function needs x0, where to begin: a tensor, an array or a number")
        map = FunctionMap(map, x0)
        x0 = None
    return map, map.start() if x0 is None else torch.as_tensor(x0)


def _solver(solver: Solver | str) -> Solver:
    if not isinstance(solver, str):
        return solver
    if solver not in SOLVERS:
        raise UsageError(f"solver: unknown name {solver!r}, choose one of {', '.join(SOLVERS)}")
    return SOLVERS[solver]()


@dataclass(frozen=True)
class _Rule:
    """The stopping rule: a limit on the error bound (the residual if no rate is known) and on the steps."""

    rate: Tensor | None
    limit: float
    max_steps: int

    def bound(self, residual: Tensor) -> Tensor:
        """The bound on the error of T x, ``[B]``; NaN if no rate is known."""
        return residual * math.nan if self.rate is None else residual * self.rate / (1 - self.rate)

    def met(self, residual: Tensor, bound: Tensor) -> bool:
        return bool(((residual if self.rate is None else bound) <= self.limit).all())


def _rate(map: IteratedMap) -> Tensor:
    rate = torch.as_tensor(map.lipschitz()).detach()  # a plain number will do
    if not bool((rate < 1).all()):
        raise DataError(
            f"{type(map).__name__}: its Lipschitz bound is {float(rate.max()):.6g}, so it need not have a fixed point; "
            "it must be below 1"
        )
    return rate


def _rounding(map: IteratedMap, x: Tensor, rate: Tensor | None) -> float:
    """The tolerance that rounding allows; the fixed point is at most d(0, T 0) / (1 - l) from zero."""
    with torch.no_grad():
        zero = torch.zeros_like(x)
        size = float((map.distance(zero, map.step(zero)) / (1 - (0 if rate is None else rate))).max())
    return 10 * torch.finfo(x.dtype).eps * max(size, torch.finfo(torch.float32).tiny)


def _iterate(
    map: IteratedMap, x: Tensor, solver: Solver, rule: _Rule,
    callback: Callable[[Step], bool | None] | None, *, measure: bool,
) -> Solution:  # fmt: skip
    state = solver.init(map, x)
    residual = bound = x.new_full((1,), math.nan)
    message = ""
    for step in range(1, rule.max_steps + 1):
        tx, state = solver.image(map, x, state)
        done = False
        if measure:
            with torch.no_grad():
                residual = solver.distance(map, x, tx)  # [B]
                bound = rule.bound(residual)
            if not bool(torch.isfinite(residual).all()):
                message = f"stopped at step {step}: the residual is not finite; check the code and the start for NaN"
                x = tx
                break
            done = rule.met(residual, bound)
        # The bound proves T x good; an accelerated iterate is only a guess, so the loop ends on T x.
        x, state = (tx, state) if done or step == rule.max_steps else solver.advance(x, tx, residual, state)
        stop = callback is not None and callback(Step(step, x, residual, bound))
        if done:
            return Solution(x, step, residual, bound, True, f"converged in {step} step{'s' * (step > 1)}")
        if stop:
            message = f"stopped by the callback after {step} step{'s' * (step > 1)}"
            break
    else:
        if not measure:
            return Solution(x, step, residual, bound, True, f"took the {step} step{'s' * (step > 1)} asked for")
        message = _ran_out(rule, residual, bound)
    return Solution(x, step, residual, bound, False, message)


def _ran_out(rule: _Rule, residual: Tensor, bound: Tensor) -> str:
    if rule.rate is None:
        what, value, name = "residual is", residual, "residual"
    else:
        what, value, name = "error is at most", bound, "tol"
    return (
        f"ran out of steps: after {rule.max_steps} the {what} {float(value.max()):.3g}, {name} is {rule.limit:.3g}; "
        f"raise max_steps or {name}"
    )


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
