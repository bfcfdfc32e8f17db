"""Meshes of simple solids, finer ones, and smooth ones: vertices ``[V, 3]`` and triangles ``[F, 3]``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fractalkit.errors import DataError

Floats = npt.NDArray[np.float64]
Faces = npt.NDArray[np.int64]
Mesh = tuple[Floats, Faces]


def _signs(rows: Sequence[Sequence[float]]) -> Floats:
    """Points with every choice of signs of their coordinates, and their cyclic permutations."""
    found = {
        tuple(round(s * v, 12) + 0.0 for s, v in zip(signs, row[k:] + row[:k], strict=True))
        for row in (list(r) for r in rows)
        for k in range(3)
        for signs in ((a, b, c) for a in (1, -1) for b in (1, -1) for c in (1, -1))
    }
    return np.array(sorted(found))


def _hull(points: Floats) -> Mesh:
    from scipy.spatial import ConvexHull

    return points, np.asarray(ConvexHull(points).simplices, np.int64)


def _turned(rings: Sequence[tuple[float, float]], sides: int) -> Mesh:
    """Rings (height, radius) around the y axis, joined by triangles and closed at the ends; radius 0 is a point."""
    points: list[tuple[float, float, float]] = []
    starts = []
    for y, r in rings:
        starts.append(len(points))
        turns = [2 * math.pi * k / sides for k in range(sides if r > 0 else 1)]
        points += [(r * math.cos(t), y, r * math.sin(t)) for t in turns]
    starts.append(len(points))
    faces = []
    for i in range(len(rings) - 1):
        a, b = starts[i], starts[i + 1]
        for k in range(sides):
            m = (k + 1) % sides
            if rings[i][1] > 0:
                faces.append((a + k, a + m, b + (k if rings[i + 1][1] > 0 else 0)))
            if rings[i + 1][1] > 0:
                faces.append((a + (m if rings[i][1] > 0 else 0), b + m, b + k))
    for i in (0, len(rings) - 1):
        if rings[i][1] > 0:
            faces += [(starts[i], starts[i] + k, starts[i] + k + 1) for k in range(1, sides - 1)]
    return np.array(points), np.array(faces)


def _arc(height: float, radius: float, first: float, last: float, parts: int) -> list[tuple[float, float]]:
    """Rings of a part of a sphere, from one latitude to another, degrees."""
    at = np.radians(np.linspace(first, last, parts + 1))
    return [(height + radius * math.sin(t), max(radius * math.cos(t), 0.0) if abs(t) < 1.57 else 0.0) for t in at]


def _torus(around: int, across: int) -> Mesh:
    """A ring of radius 1 and thickness 0.5 about the y axis."""
    i, j = (v.ravel() for v in np.meshgrid(np.arange(around), np.arange(across), indexing="ij"))
    u, v = 2 * np.pi * i / around, 2 * np.pi * j / across
    r = 1 + 0.5 * np.cos(v)
    points = np.stack([r * np.cos(u), 0.5 * np.sin(v), r * np.sin(u)], 1)
    right, up = (i + 1) % around, (j + 1) % across
    a, b, c, d = i * across + j, right * across + j, right * across + up, i * across + up
    return points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


_G = (1 + math.sqrt(5)) / 2


def solid(name: str) -> Mesh:
    """One of the solids by its name, in the sizes of JWildfire's.

    Raises:
        DataError: there is none of this name.

    >>> [len(part) for part in solid("octahedron")]
    [6, 8]
    """
    match name:
        case "tetrahedron":
            return _hull(np.array([(1, 1, -1), (1, -1, 1), (-1, 1, 1), (-1, -1, -1)]) / math.sqrt(3))
        case "octahedron":
            return _hull(_signs([(1, 0, 0)]))
        case "box":
            return _hull(_signs([(0.5, 0.5, 0.5)]))
        case "icosahedron":
            return _hull(_signs([(0, _G, 1)]) / math.hypot(_G, 1))
        case "dodecahedron":
            return _hull(_signs([(1, 1, 1), (0, 1 / _G, _G)]) / 3)
        case "cubeoctahedron":
            return _hull(_signs([(1, 1, 0)]) / math.sqrt(2))
        case "icosidodecahedron":
            return _hull(_signs([(_G, 0, 0), (0.5, _G / 2, _G * _G / 2)]) / (2 * _G))
        case "ball":
            points, faces = solid("icosahedron")
            for _ in range(3):
                points, faces = finer(points, faces)
                points = points / np.linalg.norm(points, axis=1, keepdims=True)
            return points / 2, faces
        case "cone":
            return _turned([(-0.5, 0.5), (0.5, 0.0)], 24)
        case "diamond":
            rings = ((-0.0625, 0.5, 16, 0.0), (-0.0375, 0.5, 16, 0.0), (0.20625, 0.375, 8, 0.0), (0.2875, 0.25, 8, 0.5))
            at = [(r, y, 2 * math.pi * (k + shift) / n) for y, r, n, shift in rings for k in range(n)]
            corners = [(r * math.cos(t), y, r * math.sin(t) + 0.05) for r, y, t in at]
            return _hull(np.array([*corners, (0.0, -0.7125, 0.05)]))
        case "capsule":
            middle = [(k / 8, 0.5) for k in range(-3, 4)]
            points, faces = _turned([*_arc(-0.5, 0.5, -90, 0, 8), *middle, *_arc(0.5, 0.5, 0, 90, 8)], 24)
            return points[:, [0, 2, 1]], faces
        case "torus":
            return _torus(48, 24)
    raise DataError(f"there is no solid {name}")


def finer(points: Floats, faces: Faces) -> Mesh:
    """Four triangles in place of each, of its corners and the middles of its sides."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    own, place = np.unique(edges, axis=0, return_inverse=True)
    a, b, c = faces.T
    ab, bc, ca = (len(points) + place.reshape(3, -1)).astype(np.int64)
    new = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (bc, c, ca), (ab, bc, ca))])
    return np.concatenate([points, (points[own[:, 0]] + points[own[:, 1]]) / 2]), new


def smooth(points: Floats, faces: Faces, passes: int, shrink: float, grow: float) -> Floats:
    """Vertices moved towards the means of their neighbours and back, by turns (G. Taubin, 1995)."""
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0)
    both = np.concatenate([edges, edges[:, ::-1]])
    count = np.maximum(np.bincount(both[:, 0], minlength=len(points)), 1)[:, None]
    for factor in (shrink, grow) * passes:
        total = np.zeros_like(points)
        np.add.at(total, both[:, 0], points[both[:, 1]])
        points = points + factor * (total / count - points)
    return points
