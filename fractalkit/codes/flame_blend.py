"""Flames between flames: interpolation as flam3 does it, and loops by rotation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from fractalkit.codes.flame import CAMERA, IDENTITY, KNOWN, Flame, Xform
from fractalkit.errors import UsageError

_LINEAR = (
    "scale", "zoom", "rotate", "brightness", "gamma", "gamma_threshold", "vibrancy", "highlight_power", "hue", "filter",
    "quality", "estimator_radius", "estimator_minimum", "estimator_curve", *CAMERA,
)  # fmt: skip


def turned(flame: Flame, degrees: float) -> Flame:
    """The linear parts of all maps that are animated, turned about their own origins (the loops of Electric Sheep)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def turn(x: Xform) -> Xform:
        if not x.animate:
            return x
        a, d, b, e, tx, ty = x.coefs
        return replace(x, coefs=(c * a - s * d, s * a + c * d, c * b - s * e, s * b + c * e, tx, ty))

    return replace(flame, xforms=tuple(turn(x) for x in flame.xforms))


def between(flames: Sequence[Flame], times: Sequence[float], t: float) -> Flame:
    """The flame at time t of keyframes at rising times; before the first and after the last, these.

    Straight between two keyframes, or along a Catmull-Rom spline through four where the earlier of the two says
    ``interpolation="smooth"`` and is neither the first nor the last but one, as flam3 does it.

    Raises:
        UsageError: no flames, or times that do not rise.
    """
    if not flames or len(flames) != len(times) or any(not b > a for a, b in pairwise(times)):
        raise UsageError("keyframes: expected one flame or more, at rising times")
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
    """The weighted mean of flames (weights of sum one): what cannot be averaged comes from the heaviest.

    Maps are paired in order; where one flame has fewer, a map of weight zero that leaves the plane as it is stands in.
    Columns of the linear parts go by logarithm and the shortest turn where ``interpolation_type`` is "log" (it keeps
    turning maps from collapsing half-way), else straight; colours by hue, the shorter way round; all else straight.
    """
    if len(flames) != len(weights) or not flames:
        raise UsageError("blend: expected as many weights as flames, one or more")
    flames = [f.expanded() for f in flames]
    main = flames[int(np.argmax(weights))]
    log = flames[0].interpolation_type != "linear"
    given: dict[str, Any] = {n: _mean([getattr(f, n) for f in flames], weights) for n in _LINEAR}
    given["estimator_radius"] = max(given["estimator_radius"], 0.0)
    given["center"] = tuple(_mean([f.center[i] for f in flames], weights) for i in (0, 1))
    given["background"] = tuple(min(max(_mean([f.background[i] for f in flames], weights), 0.0), 1.0) for i in range(3))
    n = max(len(f.xforms) for f in flames)
    still = "linear3D" if any(f.in_space() for f in flames) else "linear"
    xforms = []
    for i in range(n):
        some = next(f.xforms[i] for f in flames if i < len(f.xforms))
        xforms.append(_map([f.xforms[i] if i < len(f.xforms) else _still(some, still) for f in flames], weights, log))
    # rows of xaos are as long as the maps are many
    if any(x.chaos for f in flames for x in f.xforms):
        for i in range(n):
            rows = [_chaos(f, i, n) for f in flames]
            row = tuple(max(_mean([r[j] for r in rows], weights), 0.0) for j in range(n))
            xforms[i] = replace(xforms[i], chaos=row)
    final = None
    if any(f.final is not None for f in flames):
        one = next(f.final for f in flames if f.final is not None)
        final = _map([f.final or replace(_still(one, still), color_speed=0.0) for f in flames], weights, log)
    given["palette"] = _palettes([f.palette for f in flames], weights)
    return replace(main, **given, xforms=tuple(xforms), final=final)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return float(sum(w * v for w, v in zip(weights, values, strict=True)))


def _still(like: Xform, linear: str) -> Xform:
    return Xform(weight=0.0, color=like.color, color_speed=like.color_speed, animate=0.0, variations={linear: 1.0})


def _chaos(flame: Flame, i: int, n: int) -> list[float]:
    row = list(flame.xforms[i].chaos) if i < len(flame.xforms) else []
    return row + [1.0] * (n - len(row))


def _map(xs: Sequence[Xform], weights: Sequence[float], log: bool) -> Xform:
    main = xs[int(np.argmax(weights))]
    names = list(dict.fromkeys(n for x in xs for n in x.variations))
    parameters = {}
    for v in names:
        # a flame without the variation has its parameters as the others do
        have = [x for x in xs if v in x.variations]
        for p, default in KNOWN[v].items():
            key = f"{v}_{p}"
            other = have[0].parameters.get(key, default)
            values = [x.parameters.get(key, default) if v in x.variations else other for x in xs]
            parameters[key] = _mean(values, weights)
    return replace(
        main,
        weight=max(_mean([x.weight for x in xs], weights), 0.0),
        color=min(max(_mean([x.color for x in xs], weights), 0.0), 1.0),
        color_speed=_mean([x.color_speed for x in xs], weights),
        opacity=min(max(_mean([x.opacity for x in xs], weights), 0.0), 1.0),
        coefs=_affine([x.coefs for x in xs], weights, log),
        post=IDENTITY if all(x.post == IDENTITY for x in xs) else _affine([x.post for x in xs], weights, log),
        variations={n: _mean([x.variations.get(n, 0.0) for x in xs], weights) for n in names},
        parameters=parameters,
    )


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
    """By hue, saturation and value; greys take the others' hue."""
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
