"""The log-density tone map of fractal flames, in linear light."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fractalkit.errors import DataError, UsageError
from fractalkit.render.palette import Palette, encode, from_oklab, palette, to_linear, to_oklab
from fractalkit.render.splat import backdrop

Array = npt.NDArray[np.float64]


def density(counts: npt.ArrayLike, *, brightness: float = 1.0, gamma: float = 2.2, white: float | None = None) -> Array:
    """Brightness in [0, 1] of counts: (log(1 + k n) / log(1 + k w))^(1/gamma), clipped; rises with n, 0 at 0.

    The scale 1/k of the logarithm is a tenth of the mean count of the occupied pixels, so that the picture does not
    depend on the number of points (S. Draves and E. Reckase, The fractal flame algorithm, 2003, section 4).

    Args:
        counts: ``[...]``, not negative.
        brightness: factor of k; above 1 brightens dim parts.
        gamma: above 1 brightens dim parts.
        white: the count that becomes 1; None takes the 99.7 % quantile of the occupied pixels.

    Raises:
        DataError: counts that are negative or not finite.
    """
    n = np.asarray(counts, dtype=np.float64)
    if n.size and (not np.isfinite(n).all() or float(n.min()) < 0):
        raise DataError("counts: expected finite numbers of at least 0")
    if not (brightness > 0 and gamma > 0):
        raise UsageError(f"brightness and gamma: expected positive numbers, got {brightness} and {gamma}")
    some = n[n > 0]
    if len(some) == 0:
        return np.zeros_like(n)
    top = float(np.quantile(some, 0.997)) if white is None else float(white)
    k = 10 * brightness / float(some.mean())
    return np.clip(np.log1p(k * n) / np.log1p(k * top), 0, 1) ** (1 / gamma)


def tone_map(
    counts: npt.ArrayLike,
    rgb: npt.ArrayLike | None = None,
    *,
    colours: str | Palette | None = None,
    background: str = "dark",
    brightness: float = 1.0,
    gamma: float = 2.2,
    supersample: int = 1,
) -> npt.NDArray[np.uint8]:
    """A picture of a histogram.

    The density sets how much of the background is covered. Colour comes from the palette along the density, or, with
    ``rgb``, from the mean colour of each pixel, whose lightness is lifted (on dark) or lowered (on light) with the
    density; hue and chroma stay.

    Args:
        counts: ``[H s, W s]``, row 0 at the top (flip a Histogram's rows first).
        rgb: sums of sRGB colours, ``[H s, W s, 3]``, as a Histogram has them.
        colours: a palette or its name; None means ``rgb``, or "fernlight" where that is None too.
        background: "dark" or "light".
        brightness, gamma: of :func:`density`.
        supersample: s; s x s cells are averaged to a pixel, after the tone map and in linear light.

    Returns:
        uint8 ``[H, W, 3]``.
    """
    n = np.asarray(counts, dtype=np.float64)
    s = supersample
    if n.ndim != 2 or s < 1 or n.shape[0] % s or n.shape[1] % s or n.size == 0:
        raise UsageError(f"counts: expected shape [H x {s}, W x {s}], got {list(n.shape)}")
    t = density(n, brightness=brightness, gamma=gamma)
    h, w = n.shape[0] // s, n.shape[1] // s
    behind = np.repeat(np.repeat(backdrop((w, h), background), s, axis=0), s, axis=1)
    light = background == "light"
    lit = n > 0  # most cells are empty
    t = t[lit]
    if colours is None and rgb is not None:
        mean = np.clip(np.asarray(rgb)[lit].astype(np.float64) / np.maximum(n[lit], 1)[..., None], 0, 1)
        lab = to_oklab(to_linear(mean))
        base = lab[..., 0]
        # dense parts become darker on a light background, and lighter on a dark one
        if light:
            goal = np.clip(0.90 * base - 0.16 * t, 0.16, 0.70)
        else:
            goal = np.clip(0.26 + 0.42 * base + 0.34 * t, 0, 0.97)
        lift = np.clip(goal / np.maximum(base, 0.05), 0.5, 2.0)
        lab = np.concatenate([goal[..., None], lab[..., 1:] * np.sqrt(lift)[..., None]], axis=-1)
        ink = np.clip(from_oklab(lab), 0, 1)
    else:
        ink = palette(colours or "fernlight").linear(0.9 - 0.8 * t if light else 0.18 + 0.82 * t)
    # opacity rises steeply with the first few points in a cell
    alpha = np.clip(t * 1.25, 0, 1)[..., None]
    mixed = behind
    mixed[lit] += alpha * (ink - mixed[lit])
    return encode(mixed.reshape(h, s, w, s, 3).mean(axis=(1, 3)))
