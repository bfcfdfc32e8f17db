"""Chords of curves at even steps, after P. Maurer (A rose is a rose, 1987), as JWildfire's maurer_lines has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from fractalkit.errors import DataError

Floats = npt.NDArray[np.float64]
Numbers = Mapping[str, float]
MOST_CHORDS = 32_000


def _polar(r: Floats, t: Floats) -> tuple[Floats, Floats]:
    return r * np.cos(t), r * np.sin(t)


def _superformula(t: Floats, m: float, n1: float, n2: float, n3: float, a: float = 1.0, b: float = 1.0) -> Floats:
    parts = np.abs(np.cos(m * t / 4) / a) ** n2 + np.abs(np.sin(m * t / 4) / b) ** n3
    return np.asarray(parts ** (-1 / n1), np.float64)


def _polygon(t: Floats, n: Numbers) -> tuple[Floats, Floats]:
    sides = max(math.floor(n["a"]), 3)
    turn = np.abs(np.fmod(t, 2 * np.pi))
    return _polar(math.cos(math.pi / sides) / np.cos(np.fmod(turn, 2 * np.pi / sides) - np.pi / sides), turn)


def _farris(t: Floats, n: Numbers) -> tuple[Floats, Floats]:
    a, b, c = n["a"], n["b"], n["c"]
    x = np.cos(t) / a + np.cos(6 * t) / b + np.sin(14 * t) / c
    return x, np.sin(t) / a + np.sin(6 * t) / b + np.cos(14 * t) / c


def _butterfly(t: Floats, n: Numbers) -> tuple[Floats, Floats]:
    y, x = _polar(0.5 * (np.exp(np.cos(t)) - 2 * np.cos(4 * t) - np.sin(t / 12) ** 5), t)
    return x, y


def _superellipse(t: Floats, n: Numbers) -> tuple[Floats, Floats]:
    x, y = np.cos(t), np.sin(t)
    return n["a"] * np.sign(x) * np.abs(x) ** (2 / n["c"]), n["b"] * np.sign(y) * np.abs(y) ** (2 / n["d"])


def _trochoid(t: Floats, n: Numbers, side: int) -> tuple[Floats, Floats]:
    """The way of a point of a circle that rolls on another, outside (1) or inside (-1)."""
    r, k = n["a"] + side * n["b"], (n["a"] + side * n["b"]) / n["b"]
    return r * np.cos(t) - side * n["c"] * np.cos(k * t), r * np.sin(t) - n["c"] * np.sin(k * t)


_Curve = Callable[[Floats, Numbers], tuple[Floats, Floats]]
CURVES: tuple[_Curve, ...] = (
    lambda t, n: _polar(n["a"] + 0 * t, t),
    _polygon,
    lambda t, n: (n["a"] * np.cos(t), n["b"] * np.sin(t)),
    lambda t, n: _polar(np.cos(n["a"] / n["b"] * t) + n["c"], t),
    lambda t, n: _trochoid(t, n, 1),
    lambda t, n: _trochoid(t, n, -1),
    lambda t, n: (np.sin(n["a"] * t + n["c"]), np.sin(n["b"] * t)),
    lambda t, n: _polar(1 / np.cos(n["a"] / n["b"] * t) + n["c"], t),
    lambda t, n: _polar(_superformula(t, n["a"], n["b"], n["c"], n["d"]), t),
    lambda t, n: _polar(2 + np.sin(n["a"] * t) / 2, t + np.sin(n["b"] * t) / n["c"]),
    _farris,
    lambda t, n: (np.sin(n["a"] * t) * np.cos(n["c"] * t), np.sin(n["b"] * t) * np.sin(n["c"] * t)),
    _butterfly,
    lambda t, n: _polar(2 - np.cos(n["a"] * t) - np.cos(n["a"] * n["b"] * t), t),
    lambda t, n: _polar(np.cos(n["a"] * n["b"] * t) - np.cos(n["a"] * t), t),
    lambda t, n: _polar((np.cos(n["a"] / n["b"] * t) + np.cos(n["c"] * n["a"] / n["b"] * t)) / 2, t),
    lambda t, n: _polar((np.cos(n["a"] / n["b"] * t) - np.cos(n["c"] * n["a"] / n["b"] * t)) / 2, t),
    _superellipse,
    lambda t, n: _polar(
        np.cos(n["a"] / n["b"] * t) * _superformula(t, n["c"], n["d"], n["e"], n["f"], n["g"], n["h"]), t
    ),
)


def chords(n: Numbers) -> tuple[list[float], Floats]:
    """The chords of a curve, and what is said of all of them.

    Args:
        n: ``curve_mode``, the number of one of :data:`CURVES`; ``a`` to ``h``, its numbers; ``theta_step_size`` and
            ``initial_theta`` in degrees; ``line_count``; ``irrationalize``; ``direct_color_measure``, 1 for lengths and
            2 for angles; ``direct_color_thresholding``, ``color_low_threshold``, ``color_high_threshold``.

    Returns:
        (chords of a full turn, the number of the first one, where the palette begins and ends) and rows of x, y, x, y.

    Raises:
        DataError: there is no such curve, or it is nowhere finite.
    """
    mode = int(n["curve_mode"])
    if not 0 <= mode < len(CURVES):
        raise DataError(f"its curve {mode} is not known")
    turn = min(max(abs(n["line_count"]), 1.0), MOST_CHORDS - 2.0)
    first = math.floor(-turn / 2)
    step = math.radians(n["theta_step_size"] + n["irrationalize"] * 0.01 * math.e)
    # half of them before 0 and half after, or all after it, where the place is by chance
    at = np.arange(first, math.ceil(turn) + 2)
    at = at[: MOST_CHORDS - 1]
    exact = {name: np.float64(value) for name, value in n.items()}  # 1 / 0 is infinite, and no error
    with np.errstate(all="ignore"):
        x, y = CURVES[mode](np.asarray(at * step + math.radians(n["initial_theta"]), np.float64), exact)
    rows = np.stack([x[:-1], y[:-1], x[1:], y[1:]], 1)
    good = np.asarray((np.abs(rows) < 1e6).all(1), bool)
    if not good.any():
        raise DataError("its curve is nowhere finite")
    rows = np.where(good[:, None], rows, 0.0)
    low, high = n["color_low_threshold"], n["color_high_threshold"]
    if n["direct_color_thresholding"] == 0 and n["direct_color_measure"] in (1, 2):
        across = rows[:, 2:] - rows[:, :2]
        angle = np.abs(np.abs(np.arctan2(across[:, 1], across[:, 0])) - np.pi / 2) / (np.pi / 2)
        values = np.sort(np.hypot(*across.T) if n["direct_color_measure"] == 1 else angle)
        low = values[int(low * len(values))] if 0 <= low < 1 else values[0]
        high = values[int(high * (len(values) - 1))] if 0 <= high < 1 else values[-1]
    return [turn, first, min(low, high), max(low, high)], rows
