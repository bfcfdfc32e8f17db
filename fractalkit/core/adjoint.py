"""Gradients through a fixed point: through every step, or by the implicit function theorem."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unrolled:
    """Differentiate every step the solver took: exact for the iterate returned, memory grows with the steps."""


@dataclass(frozen=True)
class Implicit:
    """Differentiate the fixed point itself, in the memory of one step.

    With x* = T(x*, c), dx*/dc = (I - J)^-1 dT/dc, J = dT/dx at x*. Backward then needs v = (I - J^T)^-1 u, the fixed
    point of v -> u + J^T v, a contraction because T is one; it is iterated with vector-Jacobian products only
    (Bai, Kolter and Koltun, *Deep equilibrium models*, 2019, theorem 1). The start gets no gradient.

    Args:
        tol: stop when the update falls below this share of the incoming gradient (largest absolute values).
        max_steps: give up with a RuntimeError after this many products.
    """

    tol: float = 1e-7
    max_steps: int = 1000


Adjoint = Unrolled | Implicit
