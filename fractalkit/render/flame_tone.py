"""The tone map of flames: density estimation, log density, filter, gamma, vibrancy, highlights.

With B the sums of colour and opacity (rgb and alpha in 0 … 255) of each cell, Q the samples per pixel, s the
oversampling and ppu the pixels per unit of the plane:

    A = B k1 ln(1 + k2 B_alpha) / B_alpha,    k1 = brightness 255 268 / 256,    k2 = s^2 ppu^2 / (W H 255 Q)

JWildfire's flames have, with c the contrast, n the samples of a cell (B_alpha / 255), L the low-density brightness and
W the white level,

    A = 255 (2 c brightness log10(1 + k n) + L / (c Q (1 + s^2 n))),    k = s^2 ppu^2 / (c W H Q)

where n > 0, no density estimation, and colours times 255 / 256, 200 / W and the balance of their channel. The
background shows through by 1 - alpha (1 - atan(3 (fg_opacity - 1)) / 1.25). Last, saturation - 1 is added to the
saturation of colours in HSL, 0 to 1; greys stay grey.

A is spread over each cell's kernel (density estimation), filtered and downsampled to t. With d = t_alpha / 255,
alpha = d^(1/gamma), changed below the threshold, and colours depend on vibrancy (S. Draves and E. Reckase, The fractal
flame algorithm, 2003). Last come the tone curves (:mod:`fractalkit.codes.flame_curves`). The y axis points down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fractalkit.errors import DataError, UsageError
from fractalkit.render.filters import filter_weights, filter_width

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

MAX_OVERSAMPLE = 16
MAX_RADIUS = 100.0  # of the density estimation, in pixels
_KEPT = 100  # numbers of hits that have a kernel of their own


@dataclass(frozen=True)
class Tone:
    """Settings of the tone map; names and defaults are those of ``.flame`` files.

    Args:
        size: (width, height) in pixels.
        pixels_per_unit: scale 2^zoom.
        quality: samples per pixel in the histogram, times 4^zoom.
        oversample: cells per pixel along each axis, 1 to 16.
        filter_radius, filter_shape: of :mod:`.filters`.
        brightness, gamma, gamma_threshold, vibrancy, highlight_power: of the tone map.
        background: RGB in [0, 1].
        estimator_radius, estimator_minimum, estimator_curve: of the density estimation, in pixels; radius 0: none.
        earlyclip: colours are clipped before the filter, not after.
        transparent: straight alpha instead of the background.
        jwildfire: the picture of JWildfire, with the arguments that follow.
        contrast, white_level, low_density_brightness, balancing (RGB), fg_opacity, saturation: see the module.
        curves: values in [0, 1] of the tone curves of red, green and blue at even steps over [0, 1]; or none.
    """

    size: tuple[int, int] = (100, 100)
    pixels_per_unit: float = 50.0
    quality: float = 1.0
    oversample: int = 1
    filter_radius: float = 0.5
    filter_shape: str = "gaussian"
    brightness: float = 4.0
    gamma: float = 4.0
    gamma_threshold: float = 0.01
    vibrancy: float = 1.0
    highlight_power: float = -1.0
    background: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))
    estimator_radius: float = 9.0
    estimator_minimum: float = 0.0
    estimator_curve: float = 0.4
    earlyclip: bool = False
    transparent: bool = False
    jwildfire: bool = False
    contrast: float = 1.0
    white_level: float = 220.0
    low_density_brightness: float = 0.24
    balancing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fg_opacity: float = 1.0
    saturation: float = 1.0
    curves: Float64 | None = None

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise UsageError(f"size: expected at least 1 x 1 pixels, got {self.size[0]} x {self.size[1]}")
        if not 1 <= self.oversample <= MAX_OVERSAMPLE:
            raise UsageError(f"oversample: expected 1 to {MAX_OVERSAMPLE}, got {self.oversample}")
        for name in ("pixels_per_unit", "quality", "gamma"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name}: expected a positive number, got {value}")
        for name in ("brightness", "gamma_threshold", "vibrancy", "highlight_power", "estimator_minimum"):
            if not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name}: expected a finite number, got {getattr(self, name)}")
        if self.jwildfire and not (self.contrast > 0 and self.white_level > 0):
            raise UsageError(
                f"contrast, white_level: expected positive numbers, got {self.contrast:g} and {self.white_level:g}"
            )
        if not 0 <= self.estimator_radius <= MAX_RADIUS:
            raise UsageError(f"estimator_radius: expected 0 to {MAX_RADIUS:g}, got {self.estimator_radius}")
        if self.estimator_radius > 0 and not self.estimator_curve > 0:
            raise UsageError(f"estimator_curve: expected a positive number, got {self.estimator_curve}")
        filter_width(self.filter_shape, self.filter_radius, self.oversample)

    @property
    def gutter(self) -> int:
        """Width in cells of the histogram's border around the picture, for filter and density estimation."""
        spatial = (filter_width(self.filter_shape, self.filter_radius, self.oversample) - self.oversample) // 2
        return max(spatial, math.ceil(self.estimator_radius) * self.oversample)

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the histogram."""
        w, h = self.size
        return h * self.oversample + 2 * self.gutter, w * self.oversample + 2 * self.gutter

    @property
    def k1(self) -> float:
        """Brightness of the tone map."""
        if self.jwildfire:
            return 2 * self.contrast * self.brightness * 255 / math.log(10)
        return self.brightness * 255 * 268 / 256

    @property
    def k2(self) -> float:
        """Scale of the logarithm: one over the mean alpha of a cell if all samples were inside."""
        w, h = self.size
        area = h * w / self.pixels_per_unit**2
        k2 = self.oversample**2 / (area * 255 * self.quality)
        return k2 / self.contrast if self.jwildfire else k2

    @property
    def glow(self) -> float:
        """JWildfire's L / (c Q) times 255; 0 for others."""
        return 255 * self.low_density_brightness / (self.contrast * self.quality) if self.jwildfire else 0.0

    @property
    def gains(self) -> Float64:
        """Factors of the colours and of alpha."""
        if not self.jwildfire:
            return np.ones(4)
        return np.array([*(b * 200 / self.white_level * 255 / 256 for b in self.balancing), 1.0])

    @property
    def cover(self) -> float:
        """How much of the background a full alpha covers."""
        return 1 - math.atan(3 * (self.fg_opacity - 1)) / 1.25 if self.jwildfire else 1.0


def develop(histogram: npt.ArrayLike, look: Tone, *, threads: int | None = None) -> Float32:
    """Tone-map a histogram: float32 ``[H, W, 3]``, or ``[H, W, 4]`` with alpha if ``look.transparent``.

    Args:
        histogram: ``[*look.cells, 4]``, sums of opacity times (r, g, b, 1), colours in [0, 1].

    Returns:
        Display values (not linear light) in [0, 1].

    Raises:
        DataError: another shape, or values that are not finite.
    """
    from fractalkit.render import flame_kernels as kernels

    b = np.ascontiguousarray(histogram, dtype=np.float32)
    if b.shape != (*look.cells, 4):
        raise DataError(f"histogram: expected shape {[*look.cells, 4]}, got {list(b.shape)}")
    with kernels.limited(threads):
        log = np.empty_like(b)
        kernels.log_density(
            b, np.float64(look.k1), np.float64(look.k2), np.float64(look.glow), look.oversample**2, look.gains, log
        )
        if look.estimator_radius > 0:
            table = kernel_table(look)
            out = np.zeros_like(b)
            side = look.oversample // 2
            shrink = (
                (look.oversample / (look.oversample + 1)) ** 2
                if look.oversample > 1 and look.oversample % 2 == 0
                else 1.0
            )
            kernels.estimate(
                b, log, table.start, table.reach, table.weights, table.last, look.estimator_curve, side, shrink, out
            )
            log = out
        if look.earlyclip:
            clipped = np.empty_like(log)
            kernels.colour(log, *_tone(look), look.transparent, clipped)
            log = clipped
        weights = filter_weights(look.filter_shape, look.filter_radius, look.oversample)
        w, h = look.size
        small = np.empty((h, w, 4), np.float32)
        first = look.gutter - (len(weights) - look.oversample) // 2
        kernels.shrink(log, weights.astype(np.float32), first, look.oversample, small)
        if not look.earlyclip:
            out = np.empty_like(small)
            kernels.colour(small, *_tone(look), look.transparent, out)
            small = out
    if not np.isfinite(small).all():
        raise DataError("histogram: holds values that are not finite")
    picture = small if look.transparent else small[..., :3]
    picture = np.ascontiguousarray(np.clip(picture / np.float32(255), 0, 1))
    if look.jwildfire and look.saturation != 1:
        picture[..., :3] = saturated(picture[..., :3], look.saturation - 1)
    if look.curves is not None:
        at = np.linspace(0, 1, look.curves.shape[1])
        for channel, curve in enumerate(look.curves):
            picture[..., channel] = np.interp(picture[..., channel], at, curve)
    return picture


def saturated(rgb: Float32, more: float) -> Float32:
    """Colours in [0, 1], ``[..., 3]``, with ``more`` added to their saturation in HSL, which stays in 0 to 1.

    >>> saturated(np.array([[0.5, 0.25, 0.25], [0.5, 0.5, 0.5]], np.float32), -0.5).tolist()
    [[0.375, 0.375, 0.375], [0.5, 0.5, 0.5]]
    """
    high, low = rgb.max(-1, keepdims=True), rgb.min(-1, keepdims=True)
    middle = (high + low) / 2
    room = 1 - np.abs(high + low - 1)
    grey = (high - low < 1e-6) | (room < 1e-6)
    now = np.where(grey, 1, (high - low) / np.where(grey, 1, room))
    factor = np.where(grey, 1, np.clip(now + more, 0, 1) / now)
    return np.asarray(middle + (rgb - middle) * factor, np.float32)


def settings_of_pixels(look: Tone) -> dict[str, Any]:
    """The settings of a tone map that a pixel depends on, for one sample a pixel."""
    look = replace(look, quality=1.0)
    return {
        "k1": look.k1, "k2": look.k2, "glow": look.glow, "gains": look.gains.tolist(), "gamma": 1 / look.gamma,
        "threshold": look.gamma_threshold, "vibrancy": look.vibrancy, "power": look.highlight_power,
        "background": list(look.background), "cover": look.cover,
    }  # fmt: skip


def _tone(look: Tone) -> tuple[float, float, float, float, Float64, float]:
    return (
        1 / look.gamma, float(look.gamma_threshold), float(look.vibrancy), float(look.highlight_power),
        np.asarray(look.background, np.float64),
        look.cover,
    )  # fmt: skip


@dataclass(frozen=True)
class KernelTable:
    """The kernels of the density estimation, concatenated; kernel i has 2 reach[i] + 1 cells on each side.

    Attributes:
        start: offset of each kernel in ``weights``, ``[N]`` int64.
        reach: cells from the middle to the edge, ``[N]`` int64.
        weights: float32; those of a kernel sum to about 1.
        last: index of the kernel of all larger numbers of hits.
    """

    start: npt.NDArray[np.int64]
    reach: npt.NDArray[np.int64]
    weights: Float32
    last: int


def kernel_radius(index: int, look: Tone) -> float:
    """Radius in cells of a kernel: (R s + 1) / hits^curve, at least minimum s + 1.

    Kernel ``index`` is that of ``index`` + 1 hits below 100, and then of bins that begin at
    100 + (index - 100)^(1 / curve) hits.
    """
    most = look.estimator_radius * look.oversample + 1
    least = look.estimator_minimum * look.oversample + 1
    hits = index + 1.0 if index < _KEPT else (index - _KEPT) ** (1 / look.estimator_curve) + _KEPT + 1
    return max(most / hits**look.estimator_curve, least)


def kernel_table(look: Tone) -> KernelTable:
    """All kernels, until the radius reaches its minimum."""
    least = look.estimator_minimum * look.oversample + 1
    start, reach, weights = [0], [], []
    edge = math.ceil(look.estimator_radius * look.oversample + 1) - 1
    for index in range(10_000_000):
        h = kernel_radius(index, look)
        # normalised with the cells at distance h, which are then cut off
        at = np.arange(-int(h), int(h) + 1)
        d2 = (at[:, None] ** 2 + at[None] ** 2) / (h * h)
        k = np.where(d2 <= 1, np.exp(-2 * 2.25 * d2), 0.0)
        r = min(math.ceil(h) - 1, max(edge, 0))
        cut = int(h) - r
        inner = k[cut : len(k) - cut, cut : len(k) - cut]
        weights.append((inner / k.sum()).astype(np.float32).ravel())
        reach.append(r)
        start.append(start[-1] + len(weights[-1]))
        # smaller kernels make no visible difference: with a radius of one cell, neighbours have weight e^-4.5
        if h <= least or start[-1] > 4_000_000:
            break
    return KernelTable(np.array(start[:-1]), np.array(reach), np.concatenate(weights), len(reach) - 1)
