"""Colours of an affine code: one for each map, or an affine function of the position, whichever explains more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPEEDS = (0.6, 0.35, 1.0)  # shares of the last map in the blend of colours, the first preferred
FEWEST = 12  # points for each piece that has a function of its own, on average
_BETTER = 0.02  # by which a function must explain more than a blend
_PULL = np.array([2.0, 0.5])  # of the slopes to zero and of the constants to the mean, in points


@dataclass(frozen=True)
class Paint:
    """Colours of the maps ``[K, 3]``, their speed, and affine functions of the position or None.

    ``field`` is ``[K, 3, D + 1]`` or ``[K * K, 3, D + 1]``, as :class:`fractalkit.codes.affine.AffineIFS` has it;
    ``explained`` is R^2 of the colours on points that were not fitted.
    """

    colours: np.ndarray
    speed: float
    field: np.ndarray | None
    explained: float


def paint(address: np.ndarray, points: np.ndarray, rgb: np.ndarray, k: int) -> Paint:
    """Choose the colours of K maps that explain those of points best, by half of the points for the other half.

    Args:
        address: ``[M, L]`` of the points, last map first.
        points, rgb: ``[M, D]``, ``[M, 3]``.
    """
    half = np.arange(len(rgb)) % 2 == 0
    test = ~half if (~half).any() else half

    def score(found: np.ndarray) -> float:
        rest = rgb[test]
        total = float(((rest - rest.mean(axis=0)) ** 2).sum())
        return 1 - float(((found.clip(0, 1) - rest) ** 2).sum()) / total if total > 0 else 1.0

    blends = [score(_design(address[test], k, s) @ _blend(address[half], rgb[half], k, s)) for s in SPEEDS]
    best = int(np.argmax(np.array(blends) - 0.005 * (np.arange(len(SPEEDS)) > 0)))
    speed, explained, field = SPEEDS[best], blends[best], None
    chosen = 0
    for depth in (1, 2):
        if address.shape[1] < depth or len(rgb) < 2 * FEWEST * k**depth:
            break
        piece = _piece(address, k, depth)
        found = score(_evaluated(_field(piece[half], points[half], rgb[half], k**depth), piece[test], points[test]))
        if found > explained + _BETTER:
            chosen, explained = depth, found
    if chosen:
        field = _field(_piece(address, k, chosen), points, rgb, k**chosen)
    return Paint(np.clip(_blend(address, rgb, k, speed), 0, 1), speed, field, explained)


def _design(address: np.ndarray, k: int, speed: float) -> np.ndarray:
    """Shares ``[M, K]`` of the maps' colours in the blends of addresses."""
    out = np.zeros((len(address), k))
    left, rows = 1.0, np.arange(len(address))
    depth = address.shape[1]
    for j in range(depth):
        share = speed * left if j < depth - 1 else left
        np.add.at(out, (rows, address[:, j]), share)
        left *= 1 - speed
    return out


def _blend(address: np.ndarray, rgb: np.ndarray, k: int, speed: float) -> np.ndarray:
    """Colours ``[K, 3]`` whose blend along addresses fits rgb in least squares."""
    design = _design(address, k, speed)
    mean = rgb.mean(axis=0)
    # a weak pull towards the mean prevents extreme colours of maps with few points
    normal = design.T @ design + 1e-3 * len(address) / k * np.eye(k)
    return np.linalg.solve(normal, design.T @ (rgb - mean)) + mean


def _piece(address: np.ndarray, k: int, depth: int) -> np.ndarray:
    return address[:, 0] if depth == 1 else address[:, 0] * k + address[:, 1]


def _field(piece: np.ndarray, points: np.ndarray, rgb: np.ndarray, pieces: int) -> np.ndarray:
    """Affine functions ``[pieces, 3, D + 1]`` of the position that fit the colours of each piece in least squares."""
    d = points.shape[1]
    counts = np.maximum(np.bincount(piece, minlength=pieces), 1)[:, None]
    centres = np.stack([np.bincount(piece, points[:, i], pieces) for i in range(d)], axis=1) / counts
    size = float(np.sqrt(((points - centres[piece]) ** 2).mean())) or 1.0
    z = np.concatenate([(points - centres[piece]) / size, np.ones((len(points), 1))], axis=1)
    mean = rgb.mean(axis=0)
    normal = np.zeros((pieces, d + 1, d + 1))
    right = np.zeros((pieces, d + 1, 3))
    np.add.at(normal, piece, z[:, :, None] * z[:, None, :])
    np.add.at(right, piece, z[:, :, None] * (rgb - mean)[:, None, :])
    found = np.linalg.solve(normal + np.diag(np.repeat(_PULL, [d, 1])), right).transpose(0, 2, 1)  # [pieces, 3, D + 1]
    found[:, :, :d] /= size
    found[:, :, d] += mean - np.einsum("pij,pj->pi", found[:, :, :d], centres)
    return found


def _evaluated(field: np.ndarray, piece: np.ndarray, points: np.ndarray) -> np.ndarray:
    f = field[piece]
    return np.einsum("nij,nj->ni", f[:, :, :-1], points) + f[:, :, -1]
