"""Interpolation between flames, as in flam3, and loops by rotation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from fractalkit.codes.flame import Flame
from fractalkit.codes.flame_parts import CAMERA, IDENTITY, JWILDFIRE, KNOWN, Xform
from fractalkit.errors import UsageError

_LINEAR = (
    "scale", "zoom", "rotate", "brightness", "gamma", "gamma_threshold", "vibrancy", "highlight_power", "hue", "filter",
    "quality", "estimator_radius", "estimator_minimum", "estimator_curve", *CAMERA,
    "cam_zoom", *JWILDFIRE,
)  # fmt: skip


def turned(flame: Flame, degrees: float) -> Flame:
    """Rotate the linear parts of all animated maps about their own origins (the loops of Electric Sheep)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def turn(x: Xform) -> Xform:
        if not x.animate:
            return x
        a, d, b, e, tx, ty = x.coefs
        return replace(x, coefs=(c * a - s * d, s * a + c * d, c * b - s * e, s * b + c * e, tx, ty))

    return replace(flame, xforms=tuple(turn(x) for x in flame.xforms))


def between(flames: Sequence[Flame], times: Sequence[float], t: float) -> Flame:
    """The flame at time t of keyframes at increasing times; constant before the first and after the last.

    Linear between two keyframes, or along a Catmull-Rom spline through four where the earlier of the two has
    ``interpolation="smooth"`` and is neither the first nor the last but one, as in flam3.

    Raises:
        UsageError: no flames, or times that do not increase.
    """
    if not flames or len(flames) != len(times) or any(not b > a for a, b in pairwise(times)):
        raise UsageError("keyframes: expected one flame or more, at increasing times")
    if t <= times[0] or len(flames) == 1:
        return flames[0]
    if t >= times[-1]:
        return flames[-1]
    k = int(np.searchsorted(times, t, side="right")) - 1
    u = (t - times[k]) / (times[k + 1] - times[k])
    if flames[k].interpolation == "smooth" and 0 < k < len(flames) - 2:
        u2, u3 = u * u, u * u * u
        weights = (
            (-u3 + 2 * u2 - u) / 2, (3 * u3 - 5 * u2 + 2) / 2, (-3 * u3 + 4 * u2 + u) / 2, (u3 - u2) / 2
        )  # fmt: skip
        return blend(flames[k - 1 : k + 3], weights)
    return blend(flames[k : k + 2], (1 - u, u))


def blend(flames: Sequence[Flame], weights: Sequence[float]) -> Flame:
    """The weighted mean of flames, with weights of sum one; what cannot be averaged comes from the heaviest.

    Maps are paired in order; where one flame has fewer, an identity map of weight zero takes the place. Columns of the
    linear parts are interpolated by logarithm and along the shorter turn where ``interpolation_type`` is "log", which
    keeps rotating maps from collapsing half-way, else linearly; colours by hue, the shorter way round; all else
    linearly.
    """
    if len(flames) != len(weights) or not flames:
        raise UsageError("blend: expected as many weights as flames, one or more")
    flames = [f.expanded() for f in flames]
    given: dict[str, Any] = {n: _mean([getattr(f, n) for f in flames], weights) for n in _LINEAR}
    given["estimator_radius"] = max(given["estimator_radius"], 0.0)
    given["center"] = tuple(_mean([f.center[i] for f in flames], weights) for i in (0, 1))
    given["background"] = tuple(_unit(_mean([f.background[i] for f in flames], weights)) for i in range(3))
    given["palette"] = _palettes([f.palette for f in flames], weights)
    return replace(flames[int(np.argmax(weights))], **given, **_maps(flames, weights))


def _maps(flames: Sequence[Flame], weights: Sequence[float]) -> dict[str, Any]:
    """The fields xforms and final of the weighted mean."""
    log = flames[0].interpolation_type != "linear"
    linear = "linear3D" if any(f.in_space() for f in flames) else "linear"
    xforms = []
    for column in zip_longest(*(f.xforms for f in flames)):
        first = next(x for x in column if x is not None)
        xforms.append(_map([x or _identity(first, linear) for x in column], weights, log))
    if any(x.chaos for f in flames for x in f.xforms):
        xforms = [replace(x, chaos=_chaos(flames, weights, i, len(xforms))) for i, x in enumerate(xforms)]
    return {"xforms": tuple(xforms), "final": _final([f.final for f in flames], weights, log, linear)}


def _final(finals: Sequence[Xform | None], weights: Sequence[float], log: bool, linear: str) -> Xform | None:
    first = next((x for x in finals if x is not None), None)
    if first is None:
        return None
    absent = replace(_identity(first, linear), color_speed=0.0)
    return _map([x or absent for x in finals], weights, log)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return float(sum(w * v for w, v in zip(weights, values, strict=True)))


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _identity(like: Xform, linear: str) -> Xform:
    return Xform(weight=0.0, color=like.color, color_speed=like.color_speed, animate=0.0, variations={linear: 1.0})


def _chaos(flames: Sequence[Flame], weights: Sequence[float], i: int, n: int) -> tuple[float, ...]:
    """Mean xaos factors of map i, as many as there are maps; missing ones are 1."""
    rows = [f.xforms[i].chaos if i < len(f.xforms) else () for f in flames]
    return tuple(max(_mean([row[j] if j < len(row) else 1.0 for row in rows], weights), 0.0) for j in range(n))


def _map(xs: Sequence[Xform], weights: Sequence[float], log: bool) -> Xform:
    names = list(dict.fromkeys(n for x in xs for n in x.variations))
    return replace(
        xs[int(np.argmax(weights))],
        weight=max(_mean([x.weight for x in xs], weights), 0.0),
        color=_unit(_mean([x.color for x in xs], weights)),
        color_speed=_mean([x.color_speed for x in xs], weights),
        opacity=_unit(_mean([x.opacity for x in xs], weights)),
        coefs=_affine([x.coefs for x in xs], weights, log),
        post=IDENTITY if all(x.post == IDENTITY for x in xs) else _affine([x.post for x in xs], weights, log),
        variations={n: _mean([x.variations.get(n, 0.0) for x in xs], weights) for n in names},
        parameters={key: value for n in names for key, value in _parameters(n, xs, weights).items()},
    )


def _parameters(variation: str, xs: Sequence[Xform], weights: Sequence[float]) -> dict[str, float]:
    """Mean parameters of a variation; maps without it count as having those of the first that has it."""
    first = next(x for x in xs if variation in x.variations)
    have = [x if variation in x.variations else first for x in xs]
    keys = [f"{variation}_{p}" for p in KNOWN[variation]]
    return {key: _mean([x.parameter(key) for x in have], weights) for key in keys}


def _affine(values: Sequence[tuple[float, ...]], weights: Sequence[float], log: bool) -> tuple[float, ...]:
    a = np.array(values, dtype=np.float64)  # [N, 6]: two columns and the offset
    w = np.asarray(weights, dtype=np.float64)
    straight = w @ a
    if not log:
        return tuple(straight.tolist())
    out = straight.copy()
    for c in (0, 2):
        size = np.hypot(a[:, c], a[:, c + 1])
        if size.min() < 1e-10:
            continue
        turn = np.arctan2(a[:, c + 1], a[:, c])
        turn = np.unwrap(turn)
        r, t = math.exp(float(w @ np.log(size))), float(w @ turn)
        out[c], out[c + 1] = r * math.cos(t), r * math.sin(t)
    return tuple(out.tolist())


def _palettes(tables: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Mean palettes by hue, saturation and value; greys take the hue of the others."""
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

    w = np.asarray(weights, dtype=np.float64)
    hsv = np.stack([rgb_to_hsv(np.clip(t[:, :3], 0, 1)) for t in tables])  # [N, 256, 3]
    coloured = hsv[..., 1] > 1e-6
    first = hsv[np.argmax(coloured, axis=0), np.arange(hsv.shape[1]), 0]
    hue = np.where(coloured, hsv[..., 0], first)
    hue = np.unwrap(hue * 2 * np.pi, axis=0) / (2 * np.pi)
    mixed = np.stack(
        [
            np.tensordot(w, hue, 1) % 1, np.tensordot(w, hsv[..., 1], 1).clip(0, 1),
            np.tensordot(w, hsv[..., 2], 1).clip(0, 1),
        ],
        axis=1,
    )  # fmt: skip
    alpha = np.tensordot(w, np.stack([t[:, 3] for t in tables]), 1).clip(0, 1)
    return np.concatenate([hsv_to_rgb(mixed), alpha[:, None]], axis=1)
