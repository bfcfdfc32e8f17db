"""Tell the sample of a smooth surface, such as a scan of a body, from the sample of a fractal."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

FEWEST = 1000  # points from which a surface is told
SMOOTH = 0.5  # share of neighbourhoods that are pieces of a surface, from which on the whole is one
TURNS = 0.1  # least mean square of its normals along any direction; sheets have less
OFF = 0.08  # least distance from every quadric, as :func:`from_quadric` has it
_MOST, _PLACES, _NEIGHBOURS = 20_000, 500, 32
_FLAT, _ROUND, _INSIDE = 0.2, 0.6, 0.25


def is_smooth_surface(points: np.ndarray) -> bool:
    """Whether points ``[N, 3]`` are a sample of a smooth surface that turns into all directions; False for few or 2D.

    Such a surface is no union of a few affine copies of itself, as those would have to be smooth and bent alike; but
    planes and paraboloids are, so quadrics do not count. A neighbourhood of 32 among 20,000 points is a piece of a
    surface if its standard deviation across is at most 0.2 of the middle one, that at least 0.6 of the largest, and its
    centre within a quarter of its radius of the point it is around, so that it has no border. Among the presets and 120
    random codes in space, at most 22 % of an attractor's neighbourhoods are; of scans of bodies 60 % and more.
    """
    x = np.asarray(points, dtype=np.float64)
    x = x[np.isfinite(x).all(axis=1)]
    if x.shape[1] != 3 or len(x) < FEWEST:
        return False
    rng = np.random.default_rng(0)
    if len(x) > _MOST:
        x = x[rng.choice(len(x), _MOST, replace=False)]
    middle, size = np.median(x, axis=0), float(np.abs(x).max())
    x = x / size - middle / size if size > 0 else x
    place = x[rng.choice(len(x), _PLACES, replace=False)]
    distance, near = cKDTree(x).query(place, k=_NEIGHBOURS + 1)
    y = x[near]
    mean = y.mean(axis=1)
    y = y - mean[:, None]
    values, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", y, y))
    thin, wide, wider = np.sqrt(np.maximum(values, 0.0)).T
    flat = thin <= _FLAT * wide
    piece = flat & (wide >= _ROUND * wider) & (np.linalg.norm(mean - place, axis=1) <= _INSIDE * distance[:, -1])
    piece &= distance[:, -1] > 0
    normals = vectors[piece, :, 0]
    if piece.mean() < SMOOTH:
        return False
    turns = np.linalg.eigvalsh(normals.T @ normals / len(normals))[0] >= TURNS
    return bool(turns and from_quadric(place[piece]) >= OFF)


def from_quadric(x: np.ndarray) -> float:
    """Root mean square, over points ``[N, 3]``, of the quadratic polynomial of unit coefficients that is least there.

    It is of coordinates along the principal axes in standard deviations; 0 in a plane.
    """
    values, axes = np.linalg.eigh(np.cov(x.T))
    if values[0] <= 1e-12 * values[2]:
        return 0.0
    y = (x - x.mean(axis=0)) @ axes / np.sqrt(values)
    one, other = np.triu_indices(3)
    terms = np.concatenate([y[:, one] * y[:, other], y, np.ones((len(x), 1))], axis=1)
    return float(np.sqrt(max(np.linalg.eigvalsh(terms.T @ terms / len(x))[0], 0.0)))
