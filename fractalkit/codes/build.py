"""Helpers for building presets: maps from rotations, complex numbers and pairs of points; colour ramps."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS

# Ramps, dark to light, RGB in [0, 1].
RAMPS: dict[str, list[tuple[float, float, float]]] = {
    "moss": [(0.10, 0.30, 0.16), (0.22, 0.52, 0.22), (0.55, 0.74, 0.30), (0.86, 0.88, 0.52)],
    "bark": [(0.36, 0.24, 0.16), (0.20, 0.45, 0.20), (0.38, 0.62, 0.26), (0.62, 0.78, 0.36), (0.80, 0.86, 0.50)],
    "ember": [(0.42, 0.07, 0.12), (0.78, 0.20, 0.13), (0.95, 0.52, 0.16), (0.99, 0.84, 0.45)],
    "lagoon": [(0.05, 0.20, 0.38), (0.05, 0.43, 0.57), (0.20, 0.68, 0.66), (0.72, 0.90, 0.78)],
    "dusk": [(0.20, 0.12, 0.40), (0.50, 0.22, 0.56), (0.87, 0.40, 0.50), (0.99, 0.75, 0.52)],
    "nacre": [(0.72, 0.42, 0.40), (0.93, 0.68, 0.55), (0.98, 0.88, 0.76), (0.80, 0.84, 0.88)],
    "frost": [(0.16, 0.27, 0.52), (0.33, 0.52, 0.80), (0.62, 0.80, 0.93), (0.93, 0.97, 0.99)],
    "ochre": [(0.35, 0.22, 0.10), (0.66, 0.42, 0.16), (0.87, 0.68, 0.33), (0.97, 0.90, 0.68)],
    "iris": [(0.13, 0.35, 0.62), (0.30, 0.62, 0.72), (0.95, 0.78, 0.40), (0.88, 0.42, 0.30), (0.55, 0.22, 0.45)],
}


def ramp(name: str, k: int) -> torch.Tensor:
    """k colours ``[K, 3]`` along one of :data:`RAMPS`, float64."""
    stops = np.array(RAMPS[name])
    at = np.linspace(0, len(stops) - 1, k) if k > 1 else np.array([(len(stops) - 1) / 2])
    return torch.tensor(np.stack([np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=1))


def code(
    matrices: Sequence, offsets: Sequence, weights: Sequence[float] | None, colours: str, speed: float = 0.5
) -> AffineIFS:  # type: ignore[type-arg]
    """An AffineIFS in float64 from nested lists, coloured along a ramp."""
    a = torch.tensor(np.asarray(matrices, dtype=np.float64))
    t = torch.tensor(np.asarray(offsets, dtype=np.float64))
    p = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    return AffineIFS(a, t, p, ramp(colours, len(a)), speed)


def planar(maps: Sequence[tuple[complex, complex]], colours: str, *, mirror: Sequence[bool] | None = None) -> AffineIFS:
    """Similitudes z -> m z + c of the complex plane (or m conj(z) + c where mirrored); natural weights |m|^s.

    s is the similarity dimension, so that the measure is the natural one and the density even.
    """
    mirror = mirror or [False] * len(maps)
    a = [[[m.real, m.imag], [m.imag, -m.real]] if r else [[m.real, -m.imag], [m.imag, m.real]]
         for (m, _), r in zip(maps, mirror, strict=True)]  # fmt: skip
    sizes = [abs(m) for m, _ in maps]
    return code(a, [[c.real, c.imag] for _, c in maps], natural(sizes), colours)


def natural(sizes: Sequence[float]) -> list[float]:
    """Weights r_k^s with Σ r_k^s = 1: the natural measure of similitudes with ratios r."""
    low, high = 0.0, 64.0
    for _ in range(200):
        s = (low + high) / 2
        low, high = (s, high) if sum(r**s for r in sizes) > 1 else (low, s)
    return [r**low for r in sizes]


def copies(centres: Sequence[Sequence[float]], ratio: float | Sequence[float], colours: str) -> AffineIFS:
    """Upright copies: x -> r x + (1 - r) c for each centre c; r is one number or one per map."""
    c = np.asarray(centres, dtype=np.float64)
    r = np.broadcast_to(np.asarray(ratio, dtype=np.float64), len(c))
    return code(list(r[:, None, None] * np.eye(c.shape[1])), list((1 - r)[:, None] * c), natural(r.tolist()), colours)


def path(steps: Sequence[complex], colours: str, *, mirror: Sequence[bool] | None = None) -> AffineIFS:
    """The curve whose generator runs from 0 to 1 along ``steps``: similitudes that map [0, 1] to each step in turn.

    Steps are scaled and rotated so that they end at 1.
    """
    total = sum(steps)
    corner = 0j
    maps = []
    for s in steps:
        maps.append((s / total, corner))
        corner += s / total
    return planar(maps, colours, mirror=mirror)


def turn(degrees: float) -> complex:
    """The unit complex number at an angle."""
    return cmath.exp(1j * math.radians(degrees))


def from_points(
    source: Sequence[Sequence[float] | np.ndarray], target: Sequence[Sequence[float] | np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The affine map that sends D + 1 points to D + 1 points: matrix ``[D, D]``, offset ``[D]``."""
    x = np.hstack([np.asarray(source, float), np.ones((len(source), 1))])
    m = np.linalg.solve(x, np.asarray(target, float))
    return m[:-1].T, m[-1]


def about(axis: str, degrees: float) -> np.ndarray:
    """Rotation ``[3, 3]`` about the x, y or z axis, right-handed."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]
