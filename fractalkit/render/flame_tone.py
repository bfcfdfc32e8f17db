"""From a flame's histogram to its picture: density estimation, log density, filter, gamma, vibrancy, highlights.

With B the sums of colour and opacity (rgb and alpha in 0 … 255) of each cell, Q the samples a pixel, s the oversample
and ppu the pixels a unit:

    A = B k1 ln(1 + k2 B_alpha) / B_alpha,    k1 = brightness 255 268 / 256,    k2 = s^2 ppu^2 / (W H 255 Q)

A is spread over each cell's kernel (density estimation), filtered and sampled down to t, and with d = t_alpha / 255,
alpha = d^(1/gamma), bent below the threshold; colours follow by vibrancy (S. Draves and E. Reckase, The fractal flame
algorithm, 2003). Rows of a flame's picture run down, as +y does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fractalkit.errors import DataError, UsageError
from fractalkit.render.filters import filter_weights, filter_width

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

MAX_OVERSAMPLE = 16
MAX_RADIUS = 100.0  # of the density estimation, in pixels
_KEPT = 100  # hits up to which each has its own kernel


@dataclass(frozen=True)
class Look:
    """How a histogram becomes a picture; the names and defaults are those of a ``.flame`` file.

    Args:
        size: (H, W) in pixels.
        pixels_per_unit: scale 2^zoom.
        quality: samples a pixel that the histogram holds, times 4^zoom (may be more than were asked for, or fewer).
        oversample: cells a pixel along each axis, 1 to 16.
        filter_radius, filter_shape: of :mod:`.filters`.
        brightness, gamma, gamma_threshold, vibrancy, highlight_power: of the tone map.
        background: RGB in [0, 1].
        estimator_radius, estimator_minimum, estimator_curve: of the density estimation, in pixels; radius 0: none.
        earlyclip: colours are clipped before the filter, not after.
        transparent: straight alpha instead of the background.
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

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise UsageError(f"size: expected at least 1 x 1 pixels, got {self.size[1]} x {self.size[0]}")
        if not 1 <= self.oversample <= MAX_OVERSAMPLE:
            raise UsageError(f"oversample: expected 1 to {MAX_OVERSAMPLE}, got {self.oversample}")
        for name in ("pixels_per_unit", "quality", "gamma"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name}: expected a positive number, got {value}")
        for name in ("brightness", "gamma_threshold", "vibrancy", "highlight_power", "estimator_minimum"):
            if not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name}: expected a finite number, got {getattr(self, name)}")
        if not 0 <= self.estimator_radius <= MAX_RADIUS:
            raise UsageError(f"estimator_radius: expected 0 to {MAX_RADIUS:g}, got {self.estimator_radius}")
        if self.estimator_radius > 0 and not self.estimator_curve > 0:
            raise UsageError(f"estimator_curve: expected a positive number, got {self.estimator_curve}")
        filter_width(self.filter_shape, self.filter_radius, self.oversample)

    @property
    def gutter(self) -> int:
        """Cells that the histogram has on each side beyond the picture, for the filter and the estimation."""
        spatial = (filter_width(self.filter_shape, self.filter_radius, self.oversample) - self.oversample) // 2
        return max(spatial, math.ceil(self.estimator_radius) * self.oversample)

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the histogram."""
        h, w = self.size
        return h * self.oversample + 2 * self.gutter, w * self.oversample + 2 * self.gutter

    @property
    def k1(self) -> float:
        """Brightness of the tone map."""
        return self.brightness * 255 * 268 / 256

    @property
    def k2(self) -> float:
        """Where the logarithm bends: one over the mean alpha of a cell, were all samples inside."""
        h, w = self.size
        area = h * w / self.pixels_per_unit**2
        return self.oversample**2 / (area * 255 * self.quality)


def develop(histogram: npt.ArrayLike, look: Look, *, threads: int | None = None) -> Float32:
    """The picture of a histogram: float32 ``[H, W, 3]``, or 4 with straight alpha where ``look.transparent``.

    Args:
        histogram: sums of opacity times (r, g, b, 1), colours in [0, 1], ``[*look.cells, 4]``.

    Returns:
        values of the display (not linear light), black 0, white 1, clipped to [0, 1].

    Raises:
        DataError: another shape, or values that are not finite.
    """
    from fractalkit.render import flame_kernels as kernels

    b = np.ascontiguousarray(histogram, dtype=np.float32)
    if b.shape != (*look.cells, 4):
        raise DataError(f"histogram: expected shape {[*look.cells, 4]}, got {list(b.shape)}")
    with kernels.limited(threads):
        log = np.empty_like(b)
        kernels.log_density(b, np.float64(look.k1), np.float64(look.k2), log)
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
        h, w = look.size
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
    return np.ascontiguousarray(np.clip(picture / np.float32(255), 0, 1))


def _tone(look: Look) -> tuple[float, float, float, float, Float64]:
    return (
        1 / look.gamma,
        float(look.gamma_threshold),
        float(look.vibrancy),
        float(look.highlight_power),
        np.asarray(look.background, np.float64),
    )


@dataclass(frozen=True)
class KernelTable:
    """Density estimation's kernels, one after the other: kernel i is a square of 2 reach + 1 cells a side.

    Attributes:
        start: offset of each kernel in ``weights``, ``[N]`` int64.
        reach: cells from the middle to the edge, ``[N]`` int64.
        weights: float32, of sum one each.
        last: the kernel of all cells with more hits than those before.
    """

    start: npt.NDArray[np.int64]
    reach: npt.NDArray[np.int64]
    weights: Float32
    last: int


def kernel_radius(index: int, look: Look) -> float:
    """Radius in cells of the kernel of ``index`` + 1 hits: (R s + 1) / hits^curve, at least minimum s + 1.

    Beyond 100 hits kernels stand for bins of hits, 100 + (index - 100)^(1 / curve) of them.
    """
    most = look.estimator_radius * look.oversample + 1
    least = look.estimator_minimum * look.oversample + 1
    hits = index + 1.0 if index < _KEPT else (index - _KEPT) ** (1 / look.estimator_curve) + _KEPT + 1
    return max(most / hits**look.estimator_curve, least)


def kernel_table(look: Look) -> KernelTable:
    """All kernels until the radius has come down to its minimum."""
    least = look.estimator_minimum * look.oversample + 1
    start, reach, weights = [0], [], []
    edge = math.ceil(look.estimator_radius * look.oversample + 1) - 1
    for index in range(10_000_000):
        h = kernel_radius(index, look)
        # of sum one with the cells at distance h itself, of which those in the row and the column are then left out
        at = np.arange(-int(h), int(h) + 1)
        d2 = (at[:, None] ** 2 + at[None] ** 2) / (h * h)
        k = np.where(d2 <= 1, np.exp(-2 * 2.25 * d2), 0.0)
        r = min(math.ceil(h) - 1, max(edge, 0))
        cut = int(h) - r
        inner = k[cut : len(k) - cut, cut : len(k) - cut]
        weights.append((inner / k.sum()).astype(np.float32).ravel())
        reach.append(r)
        start.append(start[-1] + len(weights[-1]))
        # beyond this nothing is spread to be seen: a radius of one cell reaches its neighbours with weight e^-4.5
        if h <= least or start[-1] > 4_000_000:
            break
    return KernelTable(np.array(start[:-1]), np.array(reach), np.concatenate(weights), len(reach) - 1)
