"""Proofs that the map of a quadtree plane contracts."""

from __future__ import annotations

from functools import cache

import numpy as np

from fractalkit.codes.quadtree import QuadtreePlane
from fractalkit.raster.cosines import slope_cosines

LARGEST = 4  # log2 of the side of the largest leaf whose matrix is stored


def certificate(
    plane: QuadtreePlane, leaves: np.ndarray, contrast: np.ndarray, terms: int = 24, enough: float = 0.0
) -> tuple[np.ndarray, float]:
    """Find v ``[H, W]`` >= 1 and l with |M| v <= l v, which proves that the map contracts if l < 1.

    v is the sum of (|M| / 0.95)^k 1 over at most ``terms`` terms, truncated where l is smallest or below ``enough``.
    """
    v = power = np.ones(plane.level.shape)
    if not len(leaves):
        return v, 0.0
    best = (v, np.inf)
    for _ in range(terms):
        l = float((_weighted(plane, leaves, contrast, v) / v).max()) * (1 + 1e-9)
        if l < best[1]:
            best = (v, l)
            if l < enough:
                break
        power = _weighted(plane, leaves, contrast, power) / 0.95
        if power.max() < 1e-3:
            break
        v = v + power
    return best


def expanding(plane: QuadtreePlane, leaves: np.ndarray, contrast: np.ndarray, v: np.ndarray) -> list[int]:
    """Indices of the leaves where |M| v >= v, which prevent v from proving a contraction."""
    ratio = _weighted(plane, leaves, contrast, v) / v
    return [
        n for n, (y, x, log, *_) in enumerate(leaves) if ratio[y : y + (1 << log), x : x + (1 << log)].max() > 0.999
    ]


def _weighted(plane: QuadtreePlane, leaves: np.ndarray, contrast: np.ndarray, v: np.ndarray) -> np.ndarray:
    """|M| v, ``[H, W]``."""
    from fractalkit.maps import quadtree_cpu as cpu

    out = np.zeros_like(v)
    small = leaves[:, 2] <= LARGEST
    if not small.all():
        cpu.weights(v, leaves[~small], contrast[~small], slope_cosines(), float(plane.slopes), out)
    for log in np.unique(leaves[small, 2]):
        own = leaves[:, 2] == log
        side = 1 << int(log)
        pooled = np.empty((int(own.sum()), side, side))
        cpu.gather(v, leaves[own], pooled)
        made = (pooled.reshape(len(pooled), -1) @ _absolute(int(log), bool(plane.slopes))).reshape(pooled.shape)
        made *= np.abs(contrast[own])[:, None, None]
        blocks = out.reshape(out.shape[0] // side, side, out.shape[1] // side, side)
        blocks[leaves[own, 0] // side, :, leaves[own, 1] // side, :] = made
    return out


@cache
def _absolute(log: int, slopes: bool) -> np.ndarray:
    """|Q|: the absolute entries of the matrix that removes mean and slopes, ``[side^2, side^2]``, symmetric."""
    side = 1 << log
    wave = slope_cosines()[log, :side] * slopes
    low = 1 + side * (np.multiply.outer(wave, wave)[:, None, :, None] + np.multiply.outer(wave, wave)[None, :, None, :])
    return np.abs(np.eye(side * side) - low.reshape(side * side, -1) / (side * side))
