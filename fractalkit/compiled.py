"""Compilation of functions that only other compiled functions call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb


def inner(signature: str | None = None) -> Callable[[Callable[..., Any]], Any]:
    """A decorator like ``numba.njit(cache=True)``, without the wrappers by which Python and C would call.

    They take a third of the time that a small function with many arguments takes to compile.

    Args:
        signature: argument types, so that the function is compiled for these alone, when its module is imported.
    """
    options: Any = {"cache": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return nb.njit(**options) if signature is None else nb.njit(signature, **options)
