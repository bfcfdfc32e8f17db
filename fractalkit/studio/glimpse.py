"""The tone map of flames in plain NumPy, without density estimation and filter, for while the loops are compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fractalkit.render.flame_tone import Tone

Float32 = npt.NDArray[np.float32]


def glimpse(histogram: Float32, look: Tone) -> Float32:
    """A picture as :func:`fractalkit.render.flame_tone.develop`'s, float32 ``[H, W, 3]``, without its smoothing.

    Args:
        look: one cell a pixel; transparency, tone curves and a saturation of its own count for nothing.
    """
    edge = look.gutter
    b = 255 * (histogram[edge:-edge, edge:-edge] if edge else histogram)
    n = b[..., 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = (look.k1 * np.log1p(look.k2 * n) + look.glow / (1 + n / 255)) / n
    t = np.where(n > 0, b * factor * look.gains, 0.0) / 255
    d, g = t[..., 3:], 1 / look.gamma
    low = np.clip(d / max(look.gamma_threshold, 1e-9), 0, 1)
    full = d**g
    if look.gamma_threshold > 0:
        full = (1 - low) * d * look.gamma_threshold ** (g - 1) + low * full
    with np.errstate(divide="ignore", invalid="ignore"):
        rgb = np.where(d > 0, 256 * look.vibrancy * full / d, 0.0) * t[..., :3]
    top = np.maximum(rgb.max(-1, keepdims=True), 255)
    if look.highlight_power >= 0:
        rgb = np.where(top > 255, 255 - (255 - rgb * 255 / top) * (255 / top) ** look.highlight_power, rgb)
    else:
        kept = min(-look.highlight_power, 1.0)
        rgb = rgb * ((1 - kept) * 255 / top + kept)
    rgb = rgb + (1 - look.vibrancy) * 256 * np.maximum(t[..., :3], 0) ** g
    rgb = rgb + np.maximum(1 - np.clip(full, 0, 1) * look.cover, 0) * 256 * np.asarray(look.background)
    return np.clip(rgb / 255, 0, 1).astype(np.float32)
