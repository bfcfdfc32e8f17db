"""The abstraction everything stands on: contractions, their fixed points, and gradients through them."""

from fractalkit.core.adjoint import Implicit, Unrolled
from fractalkit.core.iterated_map import IteratedMap, Window, collage_bound
from fractalkit.core.levels import Levels, ahead, fixed_point
from fractalkit.core.solution import ConvergenceError, Solution, Step, solve
from fractalkit.core.solvers import Anderson, GaussSeidel, Picard, Solver, Squaring

__all__ = [
    "Anderson", "ConvergenceError", "GaussSeidel", "Implicit", "IteratedMap", "Levels", "Picard", "Solution", "Solver",
    "Squaring", "Step", "Unrolled", "Window", "ahead", "collage_bound", "fixed_point", "solve",
]  # fmt: skip
