"""The abstraction everything stands on: contractions, their fixed points, and gradients through them."""

from fractalkit.core.adjoint import Implicit, Unrolled
from fractalkit.core.iterated_map import IteratedMap, collage_bound
from fractalkit.core.solve import ConvergenceError, Solution, Step, solve
from fractalkit.core.solvers import Anderson, CoarseFirst, Picard

__all__ = [
    "Anderson",
    "CoarseFirst",
    "ConvergenceError",
    "Implicit",
    "IteratedMap",
    "Picard",
    "Solution",
    "Step",
    "Unrolled",
    "collage_bound",
    "solve",
]
