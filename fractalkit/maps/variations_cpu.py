"""The variations compiled for numbers: the text of :mod:`.variations`, with the functions of
:mod:`.fast_math` for its names."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numba as nb

from fractalkit.maps import fast_math, variations

# mypy: disable-error-code="no-untyped-def"

njit = nb.njit(error_model="numpy", inline="never")

NAMES: dict[str, Any] = {"pi": math.pi, "EPS": variations.EPS} | {
    name: getattr(fast_math, name)
    for name in (
        "where", "both", "sqrt", "sin", "cos", "tan", "exp", "log", "atan2", "acos", "power", "sinh", "cosh", "floor",
        "trunc", "rint", "fmod",
    )
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
