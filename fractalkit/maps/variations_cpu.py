"""The variations compiled for numbers: the text of :mod:`.variations` and :mod:`.variations_3d`, with the functions of
:mod:`.fast_math` for its names."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numba as nb

from fractalkit.maps import fast_math, variations, variations_3d

# mypy: disable-error-code="no-untyped-def"

njit = nb.njit(error_model="numpy", inline="never")

NAMES: dict[str, Any] = {"pi": math.pi, "EPS": variations.EPS} | {
    name: getattr(fast_math, name)
    for name in (
        "where", "both", "sqrt", "sin", "cos", "tan", "exp", "log", "atan2", "acos", "power", "sinh", "cosh", "floor",
        "trunc", "rint", "fmod",
    )
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
