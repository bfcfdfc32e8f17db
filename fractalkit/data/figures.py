"""A cloud that looks like a scan and comes with the package: a sitting rabbit, defined by a formula."""

from __future__ import annotations

import numpy as np

from fractalkit.errors import UsageError

# Ellipsoids: centre, radii, and the angle in degrees by which they are turned towards the front. z is up, the rabbit
# looks along x; a part whose y is not zero has a mirror image.
_BODY = (
    ((-0.02, 0.0, 0.44), (0.50, 0.33, 0.40), 12),  # trunk
    ((0.27, 0.0, 0.50), (0.25, 0.24, 0.36), -20),  # chest
    ((-0.20, 0.25, 0.30), (0.31, 0.15, 0.27), 15),  # haunch
    ((0.52, 0.0, 0.99), (0.26, 0.19, 0.20), -25),  # head
    ((0.69, 0.0, 0.90), (0.14, 0.12, 0.11), -25),  # muzzle
    ((0.60, 0.13, 0.91), (0.12, 0.09, 0.10), 0),  # cheek
    ((0.37, 0.0, 0.80), (0.19, 0.17, 0.24), 30),  # neck
    ((0.40, 0.14, 0.26), (0.09, 0.085, 0.25), 8),  # foreleg
    ((0.49, 0.14, 0.05), (0.15, 0.085, 0.06), 0),  # forefoot
    ((0.05, 0.28, 0.06), (0.30, 0.10, 0.07), 0),  # hind foot
    ((-0.57, 0.0, 0.40), (0.14, 0.13, 0.13), 0),  # tail
    ((0.62, 0.155, 1.04), (0.045, 0.03, 0.045), 0),  # eye
)
_EARS = (((0.28, 0.12, 1.43), (0.085, 0.055, 0.37), 24),)
_HOLLOWS = (((0.335, 0.17, 1.43), (0.05, 0.045, 0.27), 24),)
_BLEND = 0.055
_SHELL = 0.012
_CELL = 0.03
_LOW, _HIGH = np.array([-0.8, -0.55, -0.1]), np.array([0.95, 0.55, 1.9])


def rabbit(n: int = 100_000, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw points uniformly from the surface of a rabbit.

    Its surface is the zero set of smoothly blended ellipsoids with a low relief of fur. Points of a thin shell around
    it, of the same thickness everywhere, move to it along the gradient.

    Args:
        n: 1 to 10,000,000.
        seed: fixes the points.

    Returns:
        points ``[n, 3]`` float64, about 1.8 high, z up, and colours ``[n, 3]`` float32 in 0..1.

    Raises:
        UsageError: n out of range.

    >>> points, colours = rabbit(1000)
    >>> points.shape, bool(np.abs(_field(points)).max() < 1e-3)
    ((1000, 3), True)
    """
    if not 1 <= n <= 10_000_000:
        raise UsageError(f"n: expected 1 to 10,000,000 points, got {n}")
    rng = np.random.default_rng(seed)
    cells = _cells_at_the_surface()
    found: list[np.ndarray] = []
    count, batch = 0, max(5 * min(n, 20_000), 1000)
    while count < n:
        x = cells[rng.integers(len(cells), size=batch)] + rng.uniform(-_CELL / 2, _CELL / 2, (batch, 3))
        x = x[np.abs(_field(x)) < 3 * _SHELL]
        f, slope = _field(x), _gradient(x)
        x = x[np.abs(f) < _SHELL * np.linalg.norm(slope, axis=1)]
        for _ in range(3):
            f, slope = _field(x), _gradient(x)
            x = x - (f / (slope**2).sum(axis=1).clip(min=1e-3))[:, None] * slope
        x = x[np.abs(_field(x)) < 1e-3]
        found.append(x)
        count += len(x)
    points = np.concatenate(found)[:n]
    return points, _colours(points)


def _cells_at_the_surface() -> np.ndarray:
    """Centres ``[C, 3]`` of the cells of a grid that may hold points of the shell."""
    axes = [np.arange(low, high, _CELL) for low, high in zip(_LOW, _HIGH, strict=True)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return x[np.abs(_field(x)) < 1.5 * _CELL + 2 * _SHELL]


def _ellipsoids(x: np.ndarray, parts: tuple) -> np.ndarray:
    """Approximate signed distances ``[P, N]`` from ellipsoids (I. Quilez's k0 (k0 - 1) / k1)."""
    out = []
    y = np.abs(x[:, 1])
    for (cx, cy, cz), radii, degrees in parts:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        dx, dy, dz = x[:, 0] - cx, (y if cy else x[:, 1]) - cy, x[:, 2] - cz
        p = np.stack([c * dx + s * dz, dy, c * dz - s * dx], axis=1)
        r = np.array(radii)
        k0, k1 = np.linalg.norm(p / r, axis=1), np.linalg.norm(p / r**2, axis=1)
        out.append(k0 * (k0 - 1) / k1.clip(min=1e-9))
    return np.stack(out)


def _field(x: np.ndarray) -> np.ndarray:
    """The function whose zero set is the surface, negative inside ``[N]``; near it about the distance."""
    body = _blend(_ellipsoids(x, _BODY), _BLEND)
    ears = np.maximum(_ellipsoids(x, _EARS)[0], -_ellipsoids(x, _HOLLOWS)[0])
    whole = _blend(np.stack([body, ears]), 0.03)
    a, b, c = x.T
    fur = np.sin(31 * a + 9 * np.sin(7 * c)) * np.sin(37 * b + 5 * np.sin(6 * a)) * np.sin(29 * c + 6 * np.sin(5 * b))
    return np.maximum(whole, -c) + 0.004 * fur * (c > 0.02)


def _blend(distances: np.ndarray, width: float) -> np.ndarray:
    """A smooth minimum along the first axis: -w ln sum exp(-d / w)."""
    least = distances.min(axis=0)
    return least - width / 3 * np.log(np.exp(-3 * (distances - least) / width).sum(axis=0))


def _gradient(x: np.ndarray, step: float = 1e-4) -> np.ndarray:
    return np.stack([(_field(x + d) - _field(x - d)) / (2 * step) for d in step * np.eye(3)], axis=1)


def _colours(x: np.ndarray) -> np.ndarray:
    """Brown, light below and at the muzzle, a white tail, pink in the ears and dark eyes."""
    brown, light = np.array([0.55, 0.39, 0.27]), np.array([0.93, 0.88, 0.80])
    share = 1 / (
        1 + np.exp(-9 * (0.30 - x[:, 2] + 0.35 * x[:, 0] + 0.06 * np.sin(13 * x[:, 0]) * np.cos(11 * x[:, 1])))
    )
    rgb = brown + share[:, None] * (light - brown)
    rgb *= (0.93 + 0.09 * np.sin(60 * x[:, 0] + 25 * np.sin(9 * x[:, 2])) * np.sin(55 * x[:, 1]))[:, None]
    patches = (
        (_BODY[10], (0.97, 0.95, 0.92), 0.02), (_HOLLOWS[0], (0.86, 0.55, 0.52), 0.012),
        (_BODY[11], (0.07, 0.05, 0.05), 0.006), (_BODY[4], (0.92, 0.86, 0.78), 0.01),
    )  # fmt: skip
    for part, colour, reach in patches:
        near = 1 / (1 + np.exp((_ellipsoids(x, (part,))[0] - reach) / 0.006))
        rgb += near[:, None] * (np.array(colour) - rgb)
    return rgb.clip(0, 1).astype(np.float32)
