"""The best domain for each range block, by one exact matrix product of their low cosines.

Without mean and slopes, the least squared error over all contrasts is |r|^2 - <r, d>^2 / |d|^2 (Saupe 1995), so the
best domain has the largest |<r, d / |d|>|. The cosine transform keeps inner products, and an isometry only permutes
cosines and changes their signs, so ranges are turned instead of domains; a few low cosines suffice to rank domains.
Both sides are scaled and rounded to integers of norm below 2^12. All partial sums then stay below 2^24, so float32
products are exact in any order, on any machine.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import torch

from fractalkit.codec.quadtree_syntax import scan

# mypy: disable-error-code="no-untyped-def, call-arg"

_NORM = 4000.0


def features(log: int, count: int) -> np.ndarray:
    """Rows and columns ``[>= count, 2]`` of the cosines to compare: the lowest after the mean and the slopes.

    Whole diagonals are taken, so that isometries only permute them.
    """
    order = scan(log)[3:]
    diagonals = order.sum(1)
    return np.asarray(order[diagonals <= diagonals[min(count, len(order)) - 1]])


def turned(f: np.ndarray, order: np.ndarray, iso: int) -> np.ndarray:
    """Features of ranges turned by the inverse of isometry ``iso``, to compare with domains turned by it.

    An isometry is a sum of 1 (flip rows), 2 (flip columns) and then 4 (transpose). ``f`` is ``[n, count]``.
    """
    sign = np.ones(len(order))
    for axis in (0, 1):
        if iso & (1 << axis):
            sign = sign * np.where(order[:, axis] % 2, -1.0, 1.0)
    if iso & 4:
        # a turned domain has coefficient sign(v, u) d(v, u) at (u, v): <r, iso d> = sum_uv sign(u, v) r(v, u) d(u, v)
        place = {(int(u), int(v)): i for i, (u, v) in enumerate(order)}
        f = f[:, [place[int(v), int(u)] for u, v in order]]
    return np.asarray(f * sign.astype(f.dtype))


def isometric(c: np.ndarray, iso: np.ndarray) -> np.ndarray:
    """Cosines ``[n, side, side]`` of blocks, each after its isometry ``iso`` ``[n]``; see :func:`turned`."""
    odd = np.where(np.arange(c.shape[1]) % 2, -1.0, 1.0)
    rows, columns, transposed = ((iso & bit)[:, None, None] > 0 for bit in (1, 2, 4))
    c = np.where(rows, c * odd[:, None], c)
    c = np.where(columns, c * odd, c)
    return np.where(transposed, c.transpose(0, 2, 1), c)


@nb.njit(cache=True, nogil=True)
def _best(scores, flips, iso, value, where, turn):
    """Keep the largest magnitude of each row, the first of equal ones; negative contrasts are as good as positive.

    Args:
        scores: ``[4, n, m]``: inner products over cosines of even rows and columns, odd columns, odd rows, and both.
            Flipping rows changes the sign of the odd ones, so the products of four isometries are sums of these.
        flips: number of isometries, 1 to 4, of which ``iso`` is the first.
    """
    best = np.empty(4, np.float32)
    at = np.empty(4, np.int64)
    for i in range(scores.shape[1]):
        best[:], at[:] = value[i], -1
        for j in range(scores.shape[2]):
            ee, eo, oe, oo = scores[0, i, j], scores[1, i, j], scores[2, i, j], scores[3, i, j]
            even, odd = ee + eo, oe + oo
            v = abs(even + odd)
            if v > best[0]:
                best[0], at[0] = v, j
            if flips == 1:
                continue
            v = abs(even - odd)
            if v > best[1]:
                best[1], at[1] = v, j
            even, odd = ee - eo, oe - oo
            v = abs(even + odd)
            if v > best[2]:
                best[2], at[2] = v, j
            v = abs(even - odd)
            if v > best[3]:
                best[3], at[3] = v, j
        for k in range(flips):
            if at[k] >= 0 and best[k] > value[i]:
                value[i], where[i], turn[i] = best[k], at[k], iso + k


def search(
    ranges: np.ndarray, domains: np.ndarray, norms: np.ndarray, order: np.ndarray, isometries: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Index of the domain that explains most of each range, and its isometry: ``[n]`` int64 each.

    Args:
        ranges: ``[n, count]`` float32, cosines of the blocks.
        domains: ``[m, count]`` float32, cosines of the domains.
        norms: ``[m]`` norms of the domains over all their cosines except mean and slopes.
        order: rows and columns of the cosines, see :func:`features`.
        isometries: number of isometries to try, 1 to 8.
    """
    size = np.sqrt((ranges.astype(np.float64) ** 2).sum(1, keepdims=True))
    r = np.rint(ranges * (_NORM / np.maximum(size, 1e-9)))
    d = np.rint(domains * (_NORM / np.maximum(norms[:, None], 1e-9))).astype(np.float32)
    n = len(r)
    value, where, turn = np.zeros(n, np.float32), np.zeros(n, np.int64), np.zeros(n, np.int64)
    # cosines by the parity of their row and column
    parity = 2 * (order[:, 0] % 2) + order[:, 1] % 2
    groups = [np.nonzero(parity == k)[0] for k in range(4)]
    parts = [torch.from_numpy(d[:, g]).to(device).T.contiguous() for g in groups]
    rows = min(n, max(16, (1 << 20) // max(1, len(d))))
    scores = torch.zeros(4, rows, len(d), device=device)
    for iso in range(0, isometries, 4):
        t = turned(r, order, iso).astype(np.float32)
        for i in range(0, n, rows):
            few = torch.from_numpy(t[i : i + rows]).to(device)
            for k, (g, part) in enumerate(zip(groups, parts, strict=True)):
                torch.mm(few[:, g], part, out=scores[k, : len(few)])
            flips = min(4, isometries - iso)
            _best(
                scores[:, : len(few)].cpu().numpy(),
                flips,
                iso,
                value[i : i + rows],
                where[i : i + rows],
                turn[i : i + rows],
            )
    return where, turn
