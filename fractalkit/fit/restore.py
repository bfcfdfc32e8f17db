"""Inverse problems with a code as the prior: find a short code whose fixed point fits the known samples.

The fixed point does not depend on where the iteration starts, so the prior must be in the code. Both functions minimise

    |x(c) - y|^2 over the known samples  +  lambda R(c)      over codes c, R being the number of bits,

by the codec's rate-distortion search. To hide block borders, the picture is coded at several offsets of the block grid
and the results are averaged (cycle spinning; Coifman and Donoho, 1995).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter

from fractalkit.errors import UsageError
from fractalkit.fit.quadtree import LAMBDA, Effort, encode
from fractalkit.maps.quadtree_picture import decode
from fractalkit.raster.colour import LUMA
from fractalkit.raster.samples import checked_samples

_PLAN = Effort(1, top=5, maps=())


def noise_level(image: np.ndarray) -> float:
    """Estimate the standard deviation of white noise from the median of diagonal differences (Donoho, 1995).

    >>> rng = np.random.default_rng(0)
    >>> bool(abs(noise_level((128 + 9 * rng.normal(size=(200, 200))).astype(np.uint8)) - 9) < 0.5)
    True
    """
    a = image.astype(np.float64)
    a = a[: a.shape[0] // 2 * 2, : a.shape[1] // 2 * 2]
    d = 0.5 * (a[::2, ::2] - a[1::2, ::2] - a[::2, 1::2] + a[1::2, 1::2])
    return float(np.median(np.abs(d)) / 0.6745)


def _coded(a: np.ndarray, step: float, depth: int, plan: Effort) -> np.ndarray:
    quality = 50 - 10 * math.log2(step / (20.0 if depth == 8 else 20.0 * 257))
    return decode(encode(a, quality=float(np.clip(quality, 1, 100)), effort=plan, threads=1))


def _shifted(a: np.ndarray, step: float, depth: int, plan: Effort, dy: int, dx: int) -> np.ndarray:
    """The decoded picture, coded with the block grid moved by (dy, dx): float64."""
    pad = [(dy, 0), (dx, 0)] + [(0, 0)] * (a.ndim - 2)
    return _coded(np.pad(a, pad, mode="reflect" if min(a.shape[:2]) > 32 else "edge"), step, depth, plan)[
        dy:, dx:
    ].astype(float)


def denoise(
    image: np.ndarray,
    sigma: float | None = None,
    *,
    shifts: int = 8,
    strength: float = 0.65,
    effort: Effort = _PLAN,
    seed: int = 0,
) -> np.ndarray:
    """Remove white noise, by minimum description length.

    For noise of variance sigma^2 the description length of picture and noise is |x - y|^2 / (2 sigma^2) + R ln 2, so
    lambda = 2 ln 2 sigma^2, which determines the quantiser step. The noise is that of luma, which is the mean of three
    channels where there is colour. As averaging over offsets also removes noise, a smaller lambda is better.

    Args:
        image: as for :func:`~fractalkit.fit.quadtree.encode`.
        sigma: standard deviation of the noise, in sample values; None estimates it.
        shifts: number of offsets of the block grid to average over.
        strength: factor of lambda.
        effort: settings of the encoder.
        seed: determines the offsets.

    Raises:
        UsageError: a negative sigma, a strength that is not positive, or no shifts.
    """
    a, depth = checked_samples(image)
    sigma = noise_level(a) if sigma is None else sigma
    if not (sigma >= 0 and strength > 0 and shifts >= 1 and math.isfinite(sigma + strength)):
        raise UsageError(
            f"sigma {sigma}, strength {strength}, shifts {shifts}: expected sigma from 0 and the others above"
        )
    if sigma == 0:
        return a.copy()
    share = 1.0 if a.ndim == 2 else math.hypot(*LUMA)  # of the deviation, left in luma
    step = math.sqrt(2 * math.log(2) * strength / LAMBDA) * sigma * share
    rng = np.random.default_rng(seed)
    total = np.zeros(a.shape)
    for i in range(shifts):
        dy, dx = (0, 0) if i == 0 else rng.integers(0, 32, 2)
        total += _shifted(a, step, depth, effort, int(dy), int(dx))
    return np.rint(total / shifts).astype(a.dtype)


def inpaint(
    image: np.ndarray,
    known: np.ndarray,
    *,
    finest: float = 8.0,
    rounds: int = 14,
    effort: Effort = _PLAN,
    seed: int = 0,
) -> np.ndarray:
    """Fill in unknown samples, from a short code that fits the known ones.

    Majorisation-minimisation: each round codes the picture with the current estimate of the unknown samples, and takes
    the next estimate from the decoded picture. This decreases the objective for the lambda of the round; lambda falls
    from round to round, so that large shapes are filled in first.

    Args:
        image: as for :func:`~fractalkit.fit.quadtree.encode`; unknown samples may have any value.
        known: ``[H, W]`` bool.
        finest: quantiser step of the last round, in grey levels of 256.
        rounds: number of rounds; the first one has a step of 96.
        effort: settings of the encoder.
        seed: determines the offsets of the block grid.

    Raises:
        UsageError: a mask of another shape or without a known sample, or a number out of range.
    """
    a, depth = checked_samples(image)
    known = np.asarray(known, bool)
    if known.shape != a.shape[:2]:
        raise UsageError(f"mask: expected {list(a.shape[:2])}, got {list(known.shape)}")
    if not known.any():
        raise UsageError("mask: no sample is known")
    if rounds < 1 or not 0 < finest <= 96:
        raise UsageError(f"finest {finest}, rounds {rounds}: expected above 0, at most 96, and at least 1")
    if known.all():
        return a.copy()
    unit = 1.0 if depth == 8 else 257.0
    x = _spread(a.astype(np.float64), known)
    rng = np.random.default_rng(seed)
    m = known[..., None] if a.ndim == 3 else known
    top = float(np.iinfo(a.dtype).max)
    steps = 96 * (finest / 96) ** (np.arange(rounds) / max(1, rounds - 1))
    for step in steps:
        made = np.zeros(a.shape)
        places = rng.integers(0, 32, (2, 2))
        for dy, dx in places:
            filled = np.rint(x.clip(0, top)).astype(a.dtype)
            made += _shifted(filled, step * unit, depth, effort, int(dy), int(dx)) / len(places)
        x = np.where(m, a, made)
    return np.rint(x.clip(0, top)).astype(a.dtype)


def _spread(a: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A first estimate: known samples are blurred into the unknown ones, with a width that grows until all are set."""
    out = a.copy()
    left = ~known
    weight = known.astype(np.float64)
    sigma = 1.0
    axes = (0, 1)
    while left.any():
        w = gaussian_filter(weight, sigma, axes=axes)
        planes = a if a.ndim == 3 else a[..., None]
        v = gaussian_filter(planes * weight[..., None], sigma, axes=axes) / np.maximum(w, 1e-12)[..., None]
        reached = left & (w > 0.02)
        out[reached] = v[reached] if a.ndim == 3 else v[reached][:, 0]
        left &= ~reached
        sigma *= 2
    return out
