"""The variations compiled for numbers: the text of :mod:`.variations` and :mod:`.variations_3d`, with functions of
numbers for their names.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numba as nb
import numpy as np

from fractalkit.maps import variations, variations_3d

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


def formula(name: str, space: bool = False) -> Callable[..., Any]:
    """The text of a variation: of the plane, or with ``space`` its form in space.

    Raises:
        AttributeError: there is no such variation.
    """
    found: Callable[..., Any] = getattr(variations_3d if space else variations, f"v_{name}")
    return found


def arguments(name: str, space: bool = False) -> list[str]:
    """Names of a variation's arguments after x, y (and z in space) and w."""
    return list(inspect.signature(formula(name, space)).parameters)[4 if space else 3 :]


@cache
def compiled(name: str, space: bool = False) -> Callable[..., tuple[float, ...]]:
    """A variation for numbers: what it adds to x and y, and in space to z."""
    text = inspect.getsource(formula(name, space))
    names = dict(NAMES)
    exec(compile(text, f"<variation {name}>", "exec"), names)
    made: Callable[..., tuple[float, ...]] = njit(names[f"v_{name}"])
    return made
