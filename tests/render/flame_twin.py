"""Slow numpy reference of the flame's tone map; tests compare the compiled loops with it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fractalkit.render.filters import filter_weights
from fractalkit.render.flame_tone import Tone, kernel_radius

Array = npt.NDArray[np.float64]


def develop(histogram: npt.ArrayLike, look: Tone) -> Array:
    """See :func:`fractalkit.render.flame_tone.develop`."""
    b = 255 * np.asarray(histogram, dtype=np.float64)
    n = b[..., 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(n > 0, look.k1 * np.log1p(look.k2 * n) / n, 0.0)
        factor = factor + np.where(n > 0, look.glow / (1 + look.oversample**2 * n / 255) / n, 0.0)
    a = b * factor[..., None] * look.gains
    if look.estimator_radius > 0:
        a = _estimate(n / 255, a, look)
    if look.earlyclip:
        a = _colour(a, look)
    w = filter_weights(look.filter_shape, look.filter_radius, look.oversample)
    first = look.gutter - (len(w) - look.oversample) // 2
    width, h = look.size
    out = np.zeros((h, width, 4))
    for i in range(h):
        for j in range(width):
            y, x = first + i * look.oversample, first + j * look.oversample
            out[i, j] = np.einsum("y,x,yxc->c", w, w, a[y : y + len(w), x : x + len(w)])
    if not look.earlyclip:
        out = _colour(out, look)
    return np.clip((out if look.transparent else out[..., :3]) / 255, 0, 1)


def _estimate(hits: Array, a: Array, look: Tone) -> Array:
    s = look.oversample
    side = s // 2
    shrink = (s / (s + 1)) ** 2 if s > 1 and s % 2 == 0 else 1.0
    out = np.zeros_like(a)
    rows, columns = hits.shape
    least = look.estimator_minimum * s + 1
    for i in range(side, rows - side):
        for j in range(side, columns - side):
            if not hits[i, j] > 0:
                continue
            n = float(hits[i - side : i + side + 1, j - side : j + side + 1].sum()) * shrink
            if side == 0:
                n = float(hits[i, j])
            index = math.ceil(n) - 1 if n <= 100 else 100 + math.floor((n - 100) ** look.estimator_curve)
            h = max(kernel_radius(max(index, 0), look), least)
            total, inner = 0.0, math.ceil(h) - 1
            edge = math.ceil(look.estimator_radius * s + 1) - 1
            kernel = {}
            for y in range(-int(h), int(h) + 1):
                for x in range(-int(h), int(h) + 1):
                    d2 = (x * x + y * y) / (h * h)
                    if d2 <= 1:
                        kernel[y, x] = math.exp(-4.5 * d2)
                        total += kernel[y, x]
            for (y, x), k in kernel.items():
                if max(abs(y), abs(x)) <= min(inner, edge) and 0 <= i + y < rows and 0 <= j + x < columns:
                    out[i + y, j + x] += k / total * a[i, j]
    return out


def _colour(t: Array, look: Tone) -> Array:
    g, tau, vib, power = 1 / look.gamma, look.gamma_threshold, look.vibrancy, look.highlight_power
    out = np.zeros_like(t)
    for at in np.ndindex(t.shape[:2]):
        d = t[(*at, 3)] / 255
        alpha, ls = 0.0, 0.0
        if d > 0:
            alpha = d**g
            if d < tau:
                alpha = (1 - d / tau) * d * tau ** (g - 1) + d / tau * alpha
            ls = 256 * vib * alpha / d
            alpha = min(max(alpha, 0.0), 1.0)
        rgb = ls * t[at][:3] / 255
        top = float(rgb.max())
        if top > 255 and ls > 0:
            down = 255 / top
            if power >= 0:
                rgb = 255 - (255 - rgb * down) * down**power
            else:
                plain = min(-power, 1.0)
                rgb = rgb * ((1 - plain) * down + plain)
        rgb = rgb + (1 - vib) * 256 * np.maximum(t[at][:3] / 255, 0) ** g
        if look.transparent:
            rgb = rgb / alpha if alpha > 0 else 0 * rgb
        else:
            rgb = rgb + max(1 - alpha * look.cover, 0.0) * 256 * np.asarray(look.background)
        out[at] = [*np.clip(rgb, 0, 255), 255 * alpha]
    return out
