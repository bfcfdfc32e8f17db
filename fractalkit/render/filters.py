"""Spatial filters of flames: the fourteen kernels by name, and their weights on an oversampled grid."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fractalkit.errors import UsageError

Array = npt.NDArray[np.float64]

# Textbook kernels (Schumacher, General filtered image rescaling, 1992; Mitchell and Netravali, 1988; window functions).


def _hermite(x: Array) -> Array:
    t = np.abs(x)
    return np.where(t < 1, (2 * t - 3) * t * t + 1, 0.0)


def _box(x: Array) -> Array:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _triangle(x: Array) -> Array:
    return np.maximum(1 - np.abs(x), 0)


def _bell(x: Array) -> Array:
    t = np.abs(x)
    return np.where(t < 0.5, 0.75 - t * t, np.where(t < 1.5, 0.5 * (t - 1.5) ** 2, 0.0))


def _bspline(x: Array) -> Array:
    t = np.abs(x)
    return np.where(t < 1, 0.5 * t**3 - t * t + 2 / 3, np.where(t < 2, np.maximum(2 - t, 0) ** 3 / 6, 0.0))


def _lanczos(x: Array, a: int) -> Array:
    return np.where(np.abs(x) < a, np.sinc(x) * np.sinc(x / a), 0.0)


def _cubic(x: Array, b: float, c: float) -> Array:
    t = np.abs(x)
    inner = ((12 - 9 * b - 6 * c) * t**3 + (-18 + 12 * b + 6 * c) * t * t + 6 - 2 * b) / 6
    outer = ((-b - 6 * c) * t**3 + (6 * b + 30 * c) * t * t + (-12 * b - 48 * c) * t + 8 * b + 24 * c) / 6
    return np.where(t < 1, inner, np.where(t < 2, outer, 0.0))


def _gaussian(x: Array) -> Array:
    return np.exp(-2 * x * x)


def _within(window: Array, x: Array) -> Array:
    """A window function, cut off at 1."""
    return np.where(np.abs(x) < 1, window, 0.0)


KERNELS: dict[str, tuple[float, Callable[[Array], Array]]] = {  # name: (support, kernel)
    "gaussian": (1.5, _gaussian),
    "hermite": (1.0, _hermite),
    "box": (0.5, _box),
    "triangle": (1.0, _triangle),
    "bell": (1.5, _bell),
    "bspline": (2.0, _bspline),
    "lanczos3": (3.0, lambda x: _lanczos(x, 3)),
    "lanczos2": (2.0, lambda x: _lanczos(x, 2)),
    "mitchell": (2.0, lambda x: _cubic(x, 1 / 3, 1 / 3)),
    "blackman": (1.0, lambda x: _within(0.42 + 0.5 * np.cos(np.pi * x) + 0.08 * np.cos(2 * np.pi * x), x)),
    "catrom": (2.0, lambda x: _cubic(x, 0.0, 0.5)),
    "hamming": (1.0, lambda x: _within(0.54 + 0.46 * np.cos(np.pi * x), x)),
    "hanning": (1.0, lambda x: _within(0.5 + 0.5 * np.cos(np.pi * x), x)),
    "quadratic": (1.5, _bell),
}


def filter_width(shape: str, radius: float, oversample: int) -> int:
    """Cells across the kernel, odd or even as ``oversample`` is, so that the kernel is centred on a pixel.

    >>> filter_width("gaussian", 0.5, 1), filter_width("gaussian", 0.5, 2)
    (3, 4)
    """
    support, _ = _kernel(shape)
    if not (radius >= 0 and math.isfinite(radius)):
        raise UsageError(f"filter: expected a radius of 0 or more, got {radius}")
    n = int(2 * support * oversample * radius) + 1
    return n + ((n ^ oversample) & 1)


def filter_weights(shape: str, radius: float, oversample: int) -> Array:
    """Weights along one axis, ``[n]``, with sum 1; the filter is their outer product.

    Cell i of n is at u = ((2 i + 1) / n - 1) n / (2 oversample radius) in the units of the kernel.

    Raises:
        UsageError: an unknown kernel, or a radius for which the weights vanish.
    """
    _, kernel = _kernel(shape)
    n = filter_width(shape, radius, oversample)
    reach = n / (2 * oversample * radius) if radius > 0 else 1.0
    w = kernel(((2 * np.arange(n) + 1) / n - 1) * reach)
    total = float(w.sum())
    if not abs(total) > 1e-12:
        raise UsageError(f"filter: the {shape} kernel of radius {radius} has no weight; choose another radius")
    return w / total


def _kernel(shape: str) -> tuple[float, Callable[[Array], Array]]:
    if shape not in KERNELS:
        raise UsageError(f"filter_shape: no {shape!r} among {', '.join(KERNELS)}")
    return KERNELS[shape]
