"""JWildfire's motion curves of maps, at the frame that a file names.

A number of a map that has a curve, switched on, is that of the curve at the frame of its flame. Curves go through their
points, as a spline of E. Catmull and R. Rom in x and y (:func:`curve_value`), and are level before the first and after
the last one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from fractalkit.codes.flame_parts import Xform
from fractalkit.codes.variation_list import catalogue

MOST_POINTS = 10_000
LARGEST = 1e12  # of a number

_COEFFICIENT = re.compile(r"xy(Post)?Coeff([012])([01])Curve")


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return math.nan


def _spline(u: float, a: float, b: float, c: float, d: float) -> float:
    return b + u * ((c - a) + u * ((2 * a - 5 * b + 4 * c - d) + u * (3 * (b - c) + d - a))) / 2


def curve_value(name: str, extras: Mapping[str, str], frame: float) -> float | None:
    """The value of a curve at a frame, or None where it is off, without points, or of a kind that is not known.

    >>> points = {"a_enabled": "true", "a_point_count": "2", "a_x0": "1", "a_y0": "2", "a_x1": "11", "a_y1": "4"}
    >>> curve_value("a", points, 6.0), curve_value("a", points, 99.0), curve_value("b", points, 1.0)
    (3.0, 4.0, None)
    """
    kind = extras.get(f"{name}_interpolation", "SPLINE").strip().upper()
    points = _points(name, extras)
    if points is None or kind not in ("SPLINE", "LINEAR") or not math.isfinite(frame):
        return None
    x, y = points
    if frame <= x[0] or frame >= x[-1]:
        return y[0] if frame <= x[0] else y[-1]
    k = max(i for i, at in enumerate(x) if at <= frame)
    if kind == "LINEAR" or len(x) < 3:
        return y[k] + (y[k + 1] - y[k]) * (frame - x[k]) / (x[k + 1] - x[k])
    around = [min(max(i, 0), len(x) - 1) for i in (k - 1, k, k + 1, k + 2)]
    low, high = 0.0, 1.0
    for _ in range(50):
        u = (low + high) / 2
        low, high = (u, high) if _spline(u, *(x[i] for i in around)) < frame else (low, u)
    return _spline(low, *(y[i] for i in around))


def _points(name: str, extras: Mapping[str, str]) -> tuple[list[float], list[float]] | None:
    """Frames, in order, and values of a curve's points, or None where it is off or they are none."""
    count = _number(extras.get(f"{name}_point_count"))
    if extras.get(f"{name}_enabled", "false").strip().lower() != "true" or not 1 <= count <= MOST_POINTS:
        return None
    x, y = ([_number(extras.get(f"{name}_{axis}{k}")) for k in range(int(count))] for axis in "xy")
    if not all(abs(v) <= LARGEST for v in (*x, *y)) or sorted(x) != x:
        return None
    return x, y


def moving(extras: Mapping[str, str]) -> list[str]:
    """The names of the curves that are switched on."""
    return [k[: -len("_enabled")] for k, v in extras.items() if k.endswith("_enabled") and v.strip().lower() == "true"]


def at_frame(f: Xform, frame: float) -> tuple[Xform, set[str]]:
    """A map with the values of its curves at a frame, and the names of those that were followed."""
    followed = set()
    for name in moving(f.extras):
        value = curve_value(name, f.extras, frame)
        new = None if value is None else _with(f, name, value)
        if new is not None:
            f = new
            followed.add(name)
    return f, followed


def _with(f: Xform, name: str, value: float) -> Xform | None:
    """The map with another value of what a curve is called after, or None if that is not known."""
    put = partial(replace, f)
    if match := _COEFFICIENT.fullmatch(name):
        field = "post" if match[1] else "coefs"
        row = list(getattr(f, field))
        row[2 * int(match[2]) + int(match[3])] = value
        changed: dict[str, Any] = {field: tuple(row)}
        return put(**changed)
    if name == "weightCurve" and value >= 0:
        return put(weight=value)
    if name == "colorCurve":
        return put(color=value)
    if name == "colorSymmetryCurve":
        return put(color_speed=(1 - value) / 2)
    if name.endswith("_amountCurve"):
        spelled = catalogue().spelled(name.removesuffix("_amountCurve"))
        return None if spelled not in f.variations else put(variations=f.variations | {str(spelled): value})
    parameter = catalogue().parameter(name)
    if parameter is None or parameter[0] not in f.variations:
        return None
    return put(parameters=f.parameters | {"_".join(parameter): value})
