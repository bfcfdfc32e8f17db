"""Tone curves of flames: Fractorium's splines and the Bézier curves of Apophysis and older versions of Fractorium.

Both act on the finished colours in [0, 1]: the curve for all channels first, then that of the channel.

``overall_curve``, ``red_curve``, ``green_curve`` and ``blue_curve`` hold points "x y x y ...". Between them the curve
is cubic; with slopes s_i of the straight lines between points, its second derivative is 0 at both ends,

    3 (s_i - s_(i-1)) / (x_(i+1) - x_(i-1))

at the points between, and linear from point to point. Beyond the ends it is constant.

``curves`` holds four curves of four points "x y w" each: rational cubic Bézier curves with weights w. It counts where
none of the others is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

SPLINES = ("overall_curve", "red_curve", "green_curve", "blue_curve")
BEZIER = "curves"
TONE_CURVES = (BEZIER, *SPLINES)
STEPS = 1024  # of the table of a curve
MAX_POINTS = 256
_STRAIGHT = 1e-6  # how far the points of a curve may be from the diagonal

Float64 = npt.NDArray[np.float64]


def _rows(text: str, width: int) -> Float64 | None:
    """The numbers of a text in rows; None if they are no such rows."""
    words = text.split()
    try:
        values = [float(word) for word in words[: width * MAX_POINTS + 1]]
    except ValueError:
        return None
    if len(values) % width or not 2 * width <= len(values) <= width * MAX_POINTS or not all(map(math.isfinite, values)):
        return None
    return np.array(values).reshape(-1, width)


def spline(points: npt.ArrayLike, at: npt.ArrayLike) -> Float64:
    """Values of Fractorium's spline through points ``[N, 2]`` at ``at``; see the module.

    >>> spline([[0, 0], [0.5, 0.5], [1, 1]], [0.25, 2.0]).tolist()
    [0.25, 1.0]
    """
    found = np.asarray(points, dtype=np.float64)
    found = found[np.argsort(found[:, 0], kind="stable")]
    found = found[np.append(True, np.diff(found[:, 0]) > 0)]
    if len(found) == 1:
        return np.full(np.shape(at), found[0, 1])
    x, y = found.T
    wide, slope = np.diff(x), np.diff(y) / np.diff(x)
    bend = np.zeros(len(x))
    bend[1:-1] = 3 * np.diff(slope) / (wide[1:] + wide[:-1])
    p = np.clip(at, x[0], x[-1])
    k = np.clip(np.searchsorted(x, p) - 1, 0, len(wide) - 1)
    t, u = p - x[k], x[k + 1] - p
    # the line between the points, and what a second derivative linear from bend[k] to bend[k + 1] takes from it
    line = (y[k] * u + y[k + 1] * t) / wide[k]
    return np.asarray(line - t * u * (bend[k] * (wide[k] + u) + bend[k + 1] * (wide[k] + t)) / (6 * wide[k]))


def bezier(points: npt.ArrayLike, at: npt.ArrayLike) -> Float64:
    """Values at ``at`` of the rational cubic Bézier curve of four points (x, y, weight), by a table along the curve.

    >>> bezier([[0, 0, 1], [0, 0, 1], [1, 1, 1], [1, 1, 1]], [0.0, 0.5, 1.0]).round(6).tolist()
    [0.0, 0.5, 1.0]
    """
    found = np.asarray(points, dtype=np.float64)
    t = np.linspace(0, 1, 4 * STEPS + 1)
    basis = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3], 1) * found[:, 2]
    total = np.maximum(basis.sum(1), 1e-12)
    x, y = (basis @ found[:, k] / total for k in (0, 1))
    return np.asarray(np.interp(np.asarray(at, dtype=np.float64), np.maximum.accumulate(x), y))


def readable(key: str, text: str) -> bool:
    """Whether the text of one of ``TONE_CURVES`` is one."""
    if key != BEZIER:
        return _rows(text, 2) is not None
    rows = _rows(text, 3)
    return rows is not None and len(rows) == 16 and bool((rows[:, 2] >= 0).all())


def tone_curves(extras: Mapping[str, str]) -> Float64 | None:
    """The tone curves of a flame: values ``[3, STEPS + 1]`` of red, green and blue at even steps over [0, 1].

    None if all are straight.

    Args:
        extras: attributes of the flame, verbatim; texts that are no curves count for nothing.
    """
    at = np.linspace(0, 1, STEPS + 1)
    curves = [at] * 4
    given = {k: _rows(extras[k], 2) for k in SPLINES if k in extras}
    if given:
        for i, key in enumerate(SPLINES):
            rows = given.get(key)
            if rows is not None and np.abs(rows[:, 0] - rows[:, 1]).max() > _STRAIGHT:
                curves[i] = spline(rows, at)
    elif readable(BEZIER, extras.get(BEZIER, "")):
        rows = _rows(extras[BEZIER], 3)
        assert rows is not None
        for i, part in enumerate(rows.reshape(4, 4, 3)):
            if np.abs(part[:, 0] - part[:, 1]).max() > _STRAIGHT:
                curves[i] = bezier(part, at)
    if all(c is at for c in curves):
        return None
    overall, *channels = (c.clip(0, 1) for c in curves)
    return np.stack([np.interp(overall, at, c) for c in channels])
