"""The variations compiled for numbers: the text of :mod:`.variations`, with functions of numbers for its names."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numba as nb
import numpy as np

from fractalkit.maps import variations

# mypy: disable-error-code="no-untyped-def"

njit = nb.njit(error_model="numpy", inline="never")


@njit
def where(condition, a, b):
    """a where the condition holds, else b."""
    return a if condition else b


@njit
def power(a, b):
    """a to the b."""
    return a**b


@njit
def both(a, b):
    """Logical and."""
    return a and b


NAMES: dict[str, Any] = {
    "pi": math.pi, "sin": math.sin, "cos": math.cos, "tan": math.tan, "sinh": math.sinh, "cosh": math.cosh,
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "acos": math.acos, "atan2": math.atan2, "fmod": np.fmod,
    "floor": np.floor, "trunc": np.trunc, "rint": np.rint, "where": where, "power": power, "both": both,
    "EPS": variations.EPS,
}  # fmt: skip


def arguments(name: str) -> list[str]:
    """Names of a variation's arguments after x, y and w."""
    return list(inspect.signature(getattr(variations, f"v_{name}")).parameters)[3:]


@cache
def compiled(name: str) -> Callable[..., tuple[float, float]]:
    """A variation for numbers."""
    text = inspect.getsource(getattr(variations, f"v_{name}"))
    space = dict(NAMES)
    exec(compile(text, f"<variation {name}>", "exec"), space)
    made: Callable[..., tuple[float, float]] = njit(space[f"v_{name}"])
    return made
