"""Even coverage of an attractor: n points, one for each cell of a grid that is just fine enough."""

from __future__ import annotations

import math
from dataclasses import replace

import numba as nb
import numpy as np
import torch

from fractalkit.codes.affine import AffineIFS
from fractalkit.codes.cloud_collage import CloudCollage
from fractalkit.codes.dimension import affinity_dimension
from fractalkit.errors import UsageError
from fractalkit.orbit.api import sample
from fractalkit.orbit.records import Orbit

# mypy: disable-error-code="no-untyped-def"

OVERSAMPLING = 6  # candidates for each point kept
_LEAST = 1 << 16


def even(
    ifs: AffineIFS | CloudCollage, n: int, *, dtype: torch.dtype = torch.float32, depth: int = 0, colours: bool = False
) -> Orbit:
    """n points that cover the attractor evenly, whatever the code's weights; deterministic, on the CPU.

    Six times as many candidates are drawn by Falconer's weights φ^s(A_k) (natural measure for similitudes), those of a
    collage of clouds by the shares of its ranges; a grid is chosen on which they occupy just over n cells, the
    candidate nearest to each cell's centre is kept, and the surplus is dropped at regular intervals. Where the
    attractor has fewer distinct places than n asks for, candidates repeat.

    Args, returns: as :func:`fractalkit.orbit.sample`, with the same depth of addresses.
    """
    if n < 0:
        raise UsageError(f"n: expected 0 or more points, got {n}")
    if isinstance(ifs, AffineIFS):
        ifs = replace(ifs, weights=covering_weights(ifs))
    candidates = sample(ifs, max(OVERSAMPLING * n, _LEAST), dtype=dtype, depth=depth, colours=colours,
                        stratified=isinstance(ifs, CloudCollage))  # fmt: skip
    x = candidates.points.double().numpy()
    keep = torch.from_numpy(_one_per_cell(x, n))
    addresses = (
        None if candidates.addresses is None else candidates.addresses.view(torch.int16)[keep].view(torch.uint16)
    )
    return Orbit(candidates.points[keep], addresses, None if candidates.colours is None else candidates.colours[keep])


def covering_weights(ifs: AffineIFS) -> torch.Tensor:
    """Falconer's weights φ^s(A_k), at the s where they add up to 1; none is so small that its map is never drawn."""
    s = affinity_dimension(ifs)
    sv = torch.linalg.svdvals(ifs.matrices.detach().double())
    m = min(math.floor(s), ifs.dim)
    w = sv.prod(1) ** (s / ifs.dim) if m == ifs.dim else sv[:, :m].prod(1) * sv[:, m] ** (s - m)
    return w.clamp_min(0.01 * float(w.max())) if float(w.max()) > 0 else torch.ones_like(w)


def _one_per_cell(x: np.ndarray, n: int) -> np.ndarray:
    """Indices ``[n]`` of points that spread evenly over the points ``[M, D]``."""
    if n == 0:
        return np.zeros(0, np.int64)
    span = float((x.max(axis=0) - x.min(axis=0)).max())
    if span == 0:
        return np.arange(n) % len(x)
    unit = (x - x.min(axis=0)) / span
    low, high = 0.0, 20.0  # log2 of cells across: too few, enough
    best = None
    for _ in range(18):
        level = (low + high) / 2
        kept = _thin(unit, 2.0**level)
        if len(kept) >= n:
            high, best = level, kept
            if len(kept) <= 1.02 * n:
                break
        else:
            low = level
    if best is None:  # fewer distinct places than points: repeat the candidates
        best = np.concatenate([_thin(unit, 2.0**20), np.arange(n)])[:n]
    surplus = len(best) - n
    if surplus:
        drop = (np.arange(surplus) * (len(best) / surplus)).astype(np.int64)
        best = np.delete(best, drop)
    return best


@nb.njit(cache=True)
def _thin(unit, across):
    """Index of the point nearest to the centre of each occupied cell, in order of the cells' first points."""
    m, d = unit.shape
    size = 1
    while size < 2 * m:
        size *= 2
    mask = np.uint64(size - 1)
    owner = np.full(size, -1, np.int64)  # slot -> position in keep
    keys = np.empty(size, np.uint64)
    keep = np.empty(m, np.int64)
    gap = np.empty(m, np.float64)
    count = 0
    for i in range(m):
        key = np.uint64(0)
        distance = 0.0
        for c in range(d):
            v = unit[i, c] * across
            cell = math.floor(v)
            distance += (v - cell - 0.5) ** 2
            key = key * np.uint64(2097152) + np.uint64(cell)
        slot = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20) & mask
        while owner[slot] >= 0 and keys[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        if owner[slot] < 0:
            owner[slot] = count
            keys[slot] = key
            keep[count] = i
            gap[count] = distance
            count += 1
        elif distance < gap[owner[slot]]:
            keep[owner[slot]] = i
            gap[owner[slot]] = distance
    return keep[:count]
