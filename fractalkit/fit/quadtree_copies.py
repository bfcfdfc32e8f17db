"""Copies at scale 1 for the quadtree encoder: vectors, candidates, and levels against what is decoded already."""

from __future__ import annotations

import numpy as np

from fractalkit.codes.quadtree import QuadtreePlane
from fractalkit.fit import quadtree_rd as rd
from fractalkit.maps import quadtree_cpu as cpu
from fractalkit.maps.quadtree import explicit
from fractalkit.maps.quadtree_copies import copied_leaves, ranks
from fractalkit.raster.cosines import block_cosines

VECTORS = 32
NEAREST = 6  # samples, the length of the shortest vector
ALIKE = 0.75  # correlation of a picture with itself, moved, from which on copies are tried
LEAST_ALIKE = 0.15  # and of a vector that is tried
KEPT = 0.75  # share of a block's energy that a copy may leave at most


def correlations(samples: np.ndarray) -> np.ndarray:
    """How far a plane ``[H, W]`` correlates with itself moved by (dy, dx), without its low frequencies.

    Returns:
        ``[H, 2 W - 1]``: -1 to 1; the row is -dy from 0 up, the column W - 1 + dx. Overlaps below an eighth count as 0.
    """
    from scipy.ndimage import uniform_filter

    h, w = samples.shape
    x = samples - uniform_filter(samples, 9)
    both = np.fft.irfft2(np.abs(np.fft.rfft2(x, (2 * h, 2 * w))) ** 2, (2 * h, 2 * w))
    # value (a, b) is the sum of x(p) x(p + (a, b)), for dy = -a and dx = -b
    both = both[:h, (-np.arange(-(w - 1), w)) % (2 * w)]
    overlap = (h - np.arange(h))[:, None] * (w - np.abs(np.arange(-(w - 1), w)))[None] / (h * w)
    return np.where(overlap > 0.125, both / (overlap * max(1e-9, float(both[0, w - 1]))), 0.0)


def vectors(samples: np.ndarray) -> np.ndarray:
    """The vectors (dy, dx) ``[n, 2]`` to earlier samples by which a plane looks most like itself, best first."""
    from scipy.ndimage import maximum_filter

    c = correlations(samples)
    w = samples.shape[1]
    dy, dx = np.indices(c.shape)
    dy, dx = -dy, dx - (w - 1)
    good = (c == maximum_filter(c, 3)) & (c > LEAST_ALIKE) & ((dy < 0) | (dx < 0))
    good &= np.maximum(np.abs(dy), np.abs(dx)) >= NEAREST
    at = np.nonzero(good.ravel())[0]
    at = at[np.argsort(-c.ravel()[at], kind="stable")[:VECTORS]]
    return np.stack([dy.ravel()[at], dx.ravel()[at]], 1)


def likeness(samples: np.ndarray) -> float:
    """The largest correlation of a plane with itself, moved by at least ``NEAREST`` samples."""
    c = correlations(samples)
    w = samples.shape[1]
    c[:NEAREST, max(0, w - NEAREST) : w - 1 + NEAREST] = 0
    return float(c.max())


def candidates(
    samples: np.ndarray, height: int, width: int, log: int, found: np.ndarray, least: float
) -> tuple[np.ndarray, ...] | None:
    """For the blocks of one side the best vector of those found: rows and columns of blocks, and of their sources.

    Args:
        height, width: of the samples that count.
        least: energy of the blocks that are tried, in squared sample values.
    """
    h, w = samples.shape
    side = 1 << log
    i, j = np.indices((h // side, w // side))

    def summed(v: np.ndarray) -> np.ndarray:
        return np.asarray(v.reshape(h // side, side, w // side, side).sum((1, 3)))

    energy = summed(samples**2) - summed(samples) ** 2 / side**2
    best, where = np.full(energy.shape, np.inf), np.full(energy.shape, -1)
    order = ranks(height, width, samples.shape)
    for n, (dy, dx) in enumerate(found):
        leaves = np.stack([i * side, j * side, 0 * i + log, i * side + dy, j * side + dx], -1).reshape(-1, 5)
        allowed = cpu.before(order, leaves).reshape(energy.shape) & (order[:: side // 4, :: side // 4] >= 0)
        if not allowed.any():
            continue
        d = np.zeros_like(samples)
        inside = np.s_[max(0, -dy) : h, max(0, -dx) : min(w, w - dx)]
        d[inside] = (samples - np.roll(samples, (-dy, -dx), (0, 1)))[inside]
        left = np.where(allowed, summed(d * d) - summed(d) ** 2 / side**2, np.inf)
        where = np.where(left < best, n, where)
        best = np.minimum(left, best)
    rows, columns = np.nonzero((best < KEPT * energy) & (energy > least))
    if not len(rows):
        return None
    chosen = found[where[rows, columns]]
    return rows, columns, rows * side + chosen[:, 0], columns * side + chosen[:, 1], np.zeros(len(rows), np.int64)


def closed(
    code: QuadtreePlane,
    cosines: dict[int, np.ndarray],
    weights: dict[int, np.ndarray],
    lam: float,
    rates: rd.Rates,
    reach: int,
) -> QuadtreePlane:
    """The plane with new levels of its copies, in order, each against the copy as the decoder will have it."""
    leaves = copied_leaves(code)
    level, seen = code.level.copy(), explicit(code).astype(np.float64)
    shrink = np.array(code.shrink)
    for y, x, log, yd, xd in leaves:
        side = 1 << int(log)
        a = block_cosines(side)
        copied = a.T @ seen[yd : yd + side, xd : xd + side] @ a
        copied[0, 0] = copied[0, 1] = copied[1, 0] = 0
        wanted = (cosines[int(log)][y : y + side, x : x + side] - copied).astype(np.float32)
        out = np.zeros((side, side), np.int32)
        own = lam / weights[int(log)][y >> log, x >> log]
        rd.quantise(wanted, side, int(log), code.step, own, rates.level, rates.last, shrink, reach, out)
        out[0, 0] = level[y, x]
        level[y : y + side, x : x + side] = out
        size = np.abs(out)
        shown = np.sign(out) * np.maximum(size - np.array([0.0, *code.shrink])[np.minimum(size, 3)], 0) * code.step
        shown[0, 0] = out[0, 0] * code.step
        seen[y : y + side, x : x + side] = a @ (shown + copied) @ a.T
    kept = np.zeros_like(code.maps)
    kept[leaves[:, 0] // 4, leaves[:, 1] // 4] = code.maps[leaves[:, 0] // 4, leaves[:, 1] // 4]
    kept[..., 0] = kept[..., 0] > 0
    return QuadtreePlane(
        code.logs, level, kept, code.height, code.width, code.step, code.shrink, code.grid, code.slopes, True
    )
